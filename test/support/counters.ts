import { z } from 'zod';
import { command } from '../../contracts/command';
import { event } from '../../contracts/event';
import type { CommandMessage } from '../../contracts/message';
import { entity } from '../../model/entity';
import { model } from '../../model/model';

const addedData = z.object({ by: z.number(), note: z.string().optional() });
const added = event('counter.added', { data: addedData });
const hidden = event('counter.hidden', { data: z.object({}), visibility: 'private' });
const add = command('add', { data: z.object({ by: z.number().default(1), note: z.string().optional() }) });
const hide = command('hide', { data: z.object({}) });

const countersWith = (addition: typeof added) =>
  model({
    entities: [
      entity('counter', {
        version: 1,
        commands: [add, hide],
        events: [addition, hidden],
        refusals: {},
        initial: { total: 0 },
        decide: {
          add: (_state, { by, note }) => [addition(note === undefined ? { by } : { by, note })],
          hide: () => [hidden({})],
        },
        evolve: {
          'counter.added': (state, { by }) => ({ total: state.total + by }),
          'counter.hidden': (state) => state,
        },
      }),
    ],
  });

/** Counters with public and private events, for tests of what lies behind the commit. */
export const counters = countersWith(added);

/** The same as newer code has them: what it adds is of a version that the other does not know. */
export const newerCounters = countersWith(
  event('counter.added', { version: 2, data: addedData, upcasts: { 1: (old: z.infer<typeof addedData>) => old } }),
);

export const UNLIFTABLE = 666;

/** The same once more, and its upcast fails for one value. */
export const pickyCounters = countersWith(
  event('counter.added', {
    version: 2,
    data: addedData,
    upcasts: {
      1: (old: z.infer<typeof addedData>) => {
        if (old.by === UNLIFTABLE) throw new Error('cannot be lifted');
        return old;
      },
    },
  }),
);

let nth = 0;
export const counterCommand = (entityId: string, data: unknown = {}, name: 'add' | 'hide' = 'add'): CommandMessage => ({
  entityType: 'counter',
  entityId,
  commandId: `c${++nth}`,
  name,
  version: 1,
  data,
});
