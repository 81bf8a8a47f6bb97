/** What Prometheus would read: `name{label="value",…}` to its number. */
export type Scraped = Readonly<{ of: (series: string) => number | undefined; sum: (prefix: string) => number }>;

/** GETs figures, which must answer 200. */
export async function scrape(address: string): Promise<Scraped> {
  const response = await fetch(address);
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${address} answers ${response.status}: ${text}`);
  const series = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, name = '', value] = /^([^#].*) (\S+)$/.exec(line) ?? [];
    if (value !== undefined) series.set(name, Number(value));
  }
  return {
    of: (name) => series.get(name),
    sum: (prefix) => [...series].reduce((sum, [name, value]) => (name.startsWith(prefix) ? sum + value : sum), 0),
  };
}
