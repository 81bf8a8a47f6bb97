import { z } from 'zod';
import { command } from '../contracts/command';
import { event } from '../contracts/event';
import { BehindCode } from '../contracts/upcast';
import { model as shop } from '../shop/model';
import { entity } from './entity';
import { model } from './model';
import { partitionOf } from './partition';
import { projection, sql } from './projection';
import { refuse } from './refusal';

const happened = event('thing.happened', { data: z.object({}) });
const act = command('act', { data: z.object({}) });
const thingCalled = (name: string) =>
  entity(name, {
    version: 1,
    commands: [act],
    events: [happened],
    refusals: { 'thing.no': 'No.' },
    initial: {},
    decide: { act: () => refuse('thing.no') },
    evolve: { 'thing.happened': (state) => state },
  });

test('two entities, events or projections of one name are one too many', () => {
  expect(() => model({ entities: [thingCalled('a'), thingCalled('a')] })).toThrow(/two declarations of entity 'a'/);
  const again = event('thing.happened', { data: z.object({}) });
  expect(() => model({ entities: [thingCalled('a'), { ...thingCalled('b'), events: [again] } as never] })).toThrow(
    /event 'thing.happened'/,
  );
});
test('a projection of an entity that is not in the list is refused', () => {
  const orphan = projection('things', {
    version: 1,
    from: [thingCalled('a')],
    table: sql`id text primary key`,
    initial: (id) => ({ id }),
    fold: {},
  });
  expect(() => model({ entities: [thingCalled('b')], projections: [orphan] })).toThrow(/folds entity 'a'/);
});
test('a projection of several entities needs a key', () => {
  const from = [thingCalled('a'), thingCalled('b')] as const;
  expect(() =>
    projection('things', { version: 1, from, table: sql`id text primary key`, initial: (id) => ({ id }), fold: {} }),
  ).toThrow(/need a 'key'/);
});
test('a search in several languages says which column has the language', () => {
  const searched = (search: object) =>
    projection('things', {
      version: 1,
      from: [thingCalled('a')],
      table: sql`id text primary key, title text, document tsvector`,
      search: { document: 'document', headline: ['title'], ...search },
      initial: (id) => ({ id }),
      fold: {},
    });
  expect(searched({}).search).toMatchObject({ languages: ['english'], languageColumn: null });
  expect(() => searched({ languages: ['english', 'german'] })).toThrow(/needs a 'languageColumn'/);
  expect(() => searched({ languages: [] })).toThrow(/needs a language/);
});
test("an object's inherited names are no commands, events or entities", () => {
  for (const name of ['__proto__', 'constructor', 'toString']) {
    expect(shop.entity(name)).toBeUndefined();
    expect(shop.command('order', name)).toBeUndefined();
    expect(() => thingCalled('a').decide({}, name, {})).toThrow(/does not decide/);
    expect(() => thingCalled('a').evolve({}, { type: name, data: {} })).toThrow(/does not evolve/);
  }
});
test('an event type that the model does not have is behind-code', () => {
  expect(() => shop.decode('order.exploded', 1, {})).toThrow(BehindCode);
});

test('partitions are FNV-1a 32 of type/id, in UTF-8', () => {
  // Published vectors of the empty string, 'a' and 'foobar' pin constants and order; ours always has a '/'.
  const fnv = (text: string) =>
    [...Buffer.from(text)].reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193) >>> 0, 0x811c9dc5);
  expect([fnv(''), fnv('a'), fnv('foobar')]).toEqual([0x811c9dc5, 0xe40c292c, 0xbf9cf968]);
  for (const id of ['10248', 'México', '😀', 'x'.repeat(200)]) {
    expect(partitionOf('order', id, 64)).toBe(fnv(`order/${id}`) % 64);
    expect(partitionOf('order', id, 4_096)).toBe(fnv(`order/${id}`) % 4_096);
  }
});
