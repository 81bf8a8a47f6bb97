import type { Pool } from 'pg';
import { readFeeds, removeFeed } from '../../db/feeds';
import { openPool } from '../../db/pool';
import { confirm } from '../confirm';
import { findContext } from '../context';
import { CliFailure } from '../failure';
import { table, type Output } from '../output';

export async function listFeeds(output: Output): Promise<void> {
  await withDb(findContext().urlOf('read'), async (db) => {
    const feeds = await readFeeds(db);
    output.result({ feeds }, () => table(feeds));
  });
}

export async function removeFeedCommand(
  output: Output,
  [name = '']: readonly string[],
  options: Record<string, unknown>,
): Promise<void> {
  await withDb(findContext().databaseUrl, async (db) => {
    const found = (await readFeeds(db)).find(({ feed }) => feed === name);
    if (!found) throw new CliFailure('no_feed', `there is no feed '${name}'`, "'reprise feed ls' shows them.");
    const question = `Forget how far ${name} is, ${found.lag_events} events behind? Subscribed again, it begins anew.`;
    await confirm(question, options);
    await removeFeed(db, name);
    output.result({ removed: name, parked: found.parked }, () => [
      `${name} is forgotten, with ${found.parked} entities that were held back.`,
    ]);
  });
}

async function withDb(url: string, work: (db: Pool) => Promise<void>): Promise<void> {
  const db = openPool({ url, max: 1, applicationName: 'reprise-cli' });
  try {
    await work(db);
  } finally {
    await db.end();
  }
}
