import fc from 'fast-check';
import type { RepriseClient } from '../client/client';
import { InvalidSearch } from '../client/search-query';
import { search } from '../client/search';
import { resetProjection } from '../db/generations';
import { model as defineModel } from '../model/model';
import { model } from '../shop/model';
import { publishPage, revisePage, withdrawPage } from '../shop/product/contract';
import { productSearch, type ProductSearchRow } from '../shop/product/projections';
import { TestSystem } from './support/system';

let system: TestSystem<typeof model.entities>;
let client: RepriseClient<typeof model.entities>;

const SHOWN = { waitFor: ['product_search'] };
const PAGES: Readonly<Record<string, Parameters<typeof publishPage>[0]>> = {
  chai: { title: 'Chai', body: 'Soft drinks, coffees, teas & beers.', tags: ['Beverages', 'spiced'] },
  cajun: { title: "Chef Anton's Cajun Seasoning", body: 'Goes with chai.', tags: ['Condiments'] },
  mix: { title: "Chef Anton's Gumbo Mix", body: '', tags: [] },
  running: { title: 'Running shoes', body: 'For runners.' },
  läufer: { title: 'Die Läufer', body: 'Schuhe zum Laufen, Häuser zum Wohnen.', language: 'german' },
  house: { title: 'The house', body: 'Hauses and houses.' },
  plain: { title: 'Grønlandsk tørfisk', body: 'the and of', language: 'simple' },
  markup: {
    title: 'a <b>bold</b> & <script>alert(1)</script> &lt; "quoted"',
    body: '<mark>tiger</mark> & <i>lily</i>',
  },
  long: { title: 'Long', body: `${'lorem ipsum dolor '.repeat(400)} needle ${'sit amet <br> '.repeat(400)}` },
  same1: { title: 'Twin', body: 'alike' },
  same2: { title: 'Twin', body: 'alike' },
};

beforeAll(async () => {
  system = await TestSystem.open(model);
  await system.startEntityWorker();
  await system.startConsumers();
  client = await system.client();
  await Promise.all(Object.entries(PAGES).map(([id, page]) => client.product(id).send(publishPage(page), SHOWN)));
});
afterAll(() => system.close());

const keys = async (text: string, options?: Parameters<typeof client.search>[1]) =>
  (await client.search(text, options)).map(({ key }) => key);

test('a hit is the row, its key, how well it fits and where', async () => {
  const [first] = await client.search<ProductSearchRow>('chai');
  expect(first).toEqual({
    key: 'chai',
    rank: expect.any(Number) as number,
    productId: 'chai',
    ...PAGES['chai'],
    language: 'english',
    publishedAt: expect.stringMatching(/Z$/) as string,
    revisedAt: null,
    version: 1,
    highlights: { title: '<mark>Chai</mark>', body: 'Soft drinks, coffees, teas &amp; beers.' },
  });
  expect(first?.rank).toBeGreaterThan(0);
  expect(first?.rank).toBeLessThan(1);
});

test('the title weighs more than a tag, a tag more than the body', async () => {
  expect(await keys('chai')).toEqual(['chai', 'cajun']);
  await client.product('tagged').send(publishPage({ title: 'Tagged', body: '', tags: ['chai'] }), SHOWN);
  expect(await keys('chai')).toEqual(['chai', 'tagged', 'cajun']);
  await client.product('tagged').send(withdrawPage({ reason: 'test' }), SHOWN);
});

test('every word must match, as a word of its language', async () => {
  expect((await keys('chef anton')).sort()).toEqual(['cajun', 'mix']);
  expect(await keys('cajuns chefs')).toEqual(['cajun']);
  expect(await keys("Anton's gumbo")).toEqual(['mix']);
  expect(await keys('run shoe')).toEqual(['running']);
  expect((await keys('Haus')).sort()).toEqual(['house', 'läufer']);
  expect(await keys('Häuser')).toEqual(['läufer']);
  expect(await keys('TØRFISK')).toEqual(['plain']);
  expect(await keys('chai gumbo')).toEqual([]);
});

test('the last word also matches as a beginning, at every letter, and only the last', async () => {
  for (let letters = 3; letters <= 'seasoning'.length; letters++) {
    expect(await keys(`cajun ${'seasoning'.slice(0, letters)}`)).toEqual(['cajun']);
  }
  expect(await keys('cha')).toEqual(['chai', 'cajun']);
  expect(await keys('bever')).toEqual(['chai']);
  expect(await keys('caj seasoning')).toEqual([]);
  expect(await keys('chef the')).toEqual([]);
});

test('what only begins a word is marked all the same', async () => {
  const [hit] = await client.search('seasonin');
  expect(hit?.highlights['title']).toBe("Chef Anton's Cajun <mark>Seasoning</mark>");
});

test('content cannot bring markup of its own', async () => {
  const [hit] = await client.search('tiger');
  expect(hit?.highlights).toEqual({
    title: 'a &lt;b&gt;bold&lt;/b&gt; &amp; &lt;script&gt;alert(1)&lt;/script&gt; &amp;lt; "quoted"',
    body: '&lt;mark&gt;<mark>tiger</mark>&lt;/mark&gt; &amp; &lt;i&gt;lily&lt;/i&gt;',
  });
  for (const text of ['script', 'bold', 'alert', 'lt', 'amp', 'mark', 'b', 'br', 'needle']) {
    for (const { highlights } of await client.search(text)) {
      for (const html of Object.values(highlights)) expect(html.replaceAll(/<\/?mark>/g, '')).not.toMatch(/[<>]/);
    }
  }
});

test('of a long text the part that fits is shown', async () => {
  const [hit] = await client.search('needle');
  expect(hit?.highlights['body']).toMatch(/<mark>needle<\/mark>/);
  expect(hit?.highlights['body']?.length).toBeLessThan(600);
});

test('one language, when it is asked for', async () => {
  expect(await keys('haus', { language: 'german' })).toEqual(['läufer']);
  expect(await keys('haus', { language: 'english' })).toEqual(['house']);
  await expect(client.search('haus', { language: "english'; --" })).rejects.toThrow(InvalidSearch);
});

test('pages of hits are in one order, ties by key', async () => {
  expect(await keys('twin')).toEqual(['same1', 'same2']);
  expect(await keys('twin', { limit: 1 })).toEqual(['same1']);
  expect(await keys('twin', { limit: 1, offset: 1 })).toEqual(['same2']);
  await expect(client.search('twin', { limit: 101 })).rejects.toThrow(InvalidSearch);
});

test('a revised page is found by its new words, a withdrawn one not at all, one published again is', async () => {
  const page = client.product('changing');
  await page.send(publishPage({ title: 'Oolong', body: '' }), SHOWN);
  await page.send(revisePage({ title: 'Sencha', body: '' }), SHOWN);
  expect(await keys('oolong')).toEqual([]);
  expect(await keys('sencha')).toEqual(['changing']);
  await page.send(withdrawPage({ reason: 'sold out' }), SHOWN);
  expect(await keys('sencha')).toEqual([]);
  await page.send(publishPage({ title: 'Matcha', body: '' }), SHOWN);
  expect(await client.search('matcha')).toMatchObject([{ key: 'changing', version: 4, revisedAt: null }]);
});

test('nothing a person types is an error of PostgreSQL', async () => {
  const odd = [
    "'",
    "it's",
    ':* & | ! <-> ()',
    '\\',
    "';drop table x;--",
    '%s $1',
    '\0',
    'a\0b',
    '\ud800',
    '<->:*',
    '🫖',
    'ﬁ',
    '!!a',
  ];
  for (const text of [
    ...odd,
    '',
    ' ',
    'x'.repeat(500),
    '😀'.repeat(250),
    'ﷺ'.repeat(500),
    'the',
    'a/b-c_d@e.f',
    'http://x.y/z?q=1&r',
  ]) {
    await expect(client.search(text)).resolves.toBeInstanceOf(Array);
  }
  await expect(client.search('x'.repeat(501))).rejects.toThrow(InvalidSearch);
  const letters = fc.constantFrom(...`ab1'"\\:*&|!<>()- \0/._@%$é`);
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(fc.string({ unit: 'binary', maxLength: 60 }), fc.string({ unit: letters, maxLength: 30 })),
      async (text) => {
        await client.search(text);
      },
    ),
    { numRuns: 150 },
  );
});

test('the model says what can be searched', async () => {
  await expect(client.search('chai', { in: 'order_summary' })).rejects.toThrow(/'order_summary'.* has product_search/);
  expect(await keys('chai', { in: 'product_search' })).toEqual(['chai', 'cajun']);
  const twice = { ...model, projections: [productSearch, { ...productSearch, name: 'other' }] };
  await expect(search(system.db, twice, 'chai')).rejects.toThrow(
    /which read model is searched\? .* product_search, other/,
  );
  const none = defineModel({ entities: model.entities });
  await expect(search(system.db, none, 'chai')).rejects.toThrow(/no read model declares a search/);
});

test('the index answers, and a new generation has it too', async () => {
  const indexes = () =>
    system.db.query<{ indexdef: string }>(
      `select indexdef from pg_indexes where schemaname = 'read' and tablename like 'product_search__g%' and indexdef like '%gin%'`,
    );
  expect((await indexes()).rows).toMatchObject([
    { indexdef: expect.stringMatching(/__g1 USING gin \(document\)/) as string },
  ]);
  await resetProjection(system.database.url, { ...productSearch, version: 2 });
  expect((await indexes()).rows).toMatchObject([
    { indexdef: expect.stringMatching(/__g2 USING gin \(document\)/) as string },
  ]);
  expect(await keys('chai')).toEqual([]);
});
