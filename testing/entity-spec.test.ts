import { z } from 'zod';
import { command } from '../contracts/command';
import { event } from '../contracts/event';
import { entity } from '../model/entity';
import { refuse } from '../model/refusal';
import { given } from './entity-spec';

const filled = event('tank.filled', {
  version: 2,
  data: z.strictObject({ litres: z.number(), note: z.string().optional() }),
  upcasts: { 1: (old: { gallons: number }) => ({ litres: old.gallons * 4 }) },
});
const emptied = event('tank.emptied', { data: z.strictObject({}) });
const elsewhere = event('well.dug', { data: z.strictObject({}) });
const fill = command('fill', {
  version: 2,
  data: z.strictObject({ litres: z.number().default(10), note: z.string().optional() }),
  upcasts: { 1: (old: { gallons: number }) => ({ litres: old.gallons * 4 }) },
});
const empty = command('empty', { data: z.strictObject({}) });

const tank = entity('tank', {
  version: 1,
  commands: [fill, empty],
  events: [filled, emptied],
  refusals: { 'tank.empty': 'There is nothing in it.' },
  initial: { litres: 0 },
  decide: {
    fill: (_state, data) => [filled(data)],
    empty: ({ litres }) => (litres > 0 ? [emptied({})] : refuse('tank.empty')),
  },
  evolve: {
    'tank.filled': ({ litres }, data) => ({ litres: litres + data.litres }),
    'tank.emptied': () => ({ litres: 0 }),
  },
});

test('events, state and refusals are compared', () => {
  given(tank, [filled({ litres: 1 })])
    .when(fill({ litres: 2 }))
    .thenEvents([filled({ litres: 2 })])
    .thenState({ litres: 3 });
  given(tank, []).when(empty({})).thenRefused('tank.empty');
});
test('what differs fails, whichever way', () => {
  const accepted = () => given(tank, []).when(fill({ litres: 2 }));
  const refused = () => given(tank, []).when(empty({}));
  expect(() => accepted().thenEvents([filled({ litres: 3 })])).toThrow(/deeply|strictly|equal/);
  expect(() => accepted().thenEvents([])).toThrow(/equal/);
  expect(() => accepted().thenState({ litres: 3 })).toThrow(/equal/);
  expect(() => accepted().thenRefused('tank.empty')).toThrow(/accepted with tank.filled, expected 'tank.empty'/);
  expect(() => refused().thenEvents([])).toThrow(/refused with 'tank.empty'/);
  expect(() => refused().thenState({ litres: 0 })).toThrow(/refused with 'tank.empty'/);
});
test('defaults are filled in and old versions lifted before a decision, as the engine does', () => {
  given(tank, [])
    .when(fill({}))
    .thenEvents([filled({ litres: 10 })]);
  given(tank, [{ ...filled({ litres: 0 }), schemaVersion: 1, data: { gallons: 2 } }])
    .when({ ...fill({}), version: 1, data: { gallons: 1 } } as never)
    .thenEvents([filled({ litres: 4 })])
    .thenState({ litres: 12 });
});
test('data that does not fit its contract or cannot be stored is never decided on', () => {
  expect(() => given(tank, []).when({ ...fill({}), data: { litres: '2' } } as never)).toThrow(/number/);
  expect(() => given(tank, []).when({ ...fill({}), data: { depth: 2 } } as never)).toThrow(/depth/);
  expect(() => given(tank, []).when(fill({ note: '\u0000' }))).toThrow(/'fill' holds a NUL/);
  expect(() => given(tank, [{ ...filled({ litres: 0 }), data: {} }])).toThrow(/number/);
  expect(() => given(tank, [filled({ litres: 0, note: '\ud800' })])).toThrow(/'tank.filled' holds a lone surrogate/);
});
test('an entity that decides what it may not is found', () => {
  const deciding = (decision: unknown) =>
    given({ ...tank, decide: () => decision as never }, []).when(fill({ litres: 1 }));
  expect(() => deciding([elsewhere({})])).toThrow(/'well.dug' is not an event of tank/);
  expect(() => deciding(refuse('tank.full'))).toThrow(/'tank.full' is not in the refusals of tank/);
  expect(() => deciding([{ ...filled({ litres: 0 }), data: {} }])).toThrow(/number/);
  expect(() => deciding([{ ...filled({ litres: 0 }), schemaVersion: 1, data: { gallons: 1 } }])).toThrow(
    /was made as version 1/,
  );
});
test("another entity's commands, events and codes do not compile", () => {
  const then = given(tank, []).when(fill({ litres: 1 }));
  // @ts-expect-error: a misspelt field
  expect(() => given(tank, []).when(fill({ liters: 1 }))).toThrow();
  // @ts-expect-error: a wrong type
  expect(() => given(tank, []).when(fill({ litres: '1' }))).toThrow();
  // @ts-expect-error: no event of a tank
  expect(() => given(tank, [elsewhere({})])).toThrow();
  // @ts-expect-error: no such field in the state
  expect(() => then.thenState({ gallons: 1 })).toThrow();
  // @ts-expect-error: no such refusal
  expect(() => then.thenRefused('tank.full')).toThrow();
});
