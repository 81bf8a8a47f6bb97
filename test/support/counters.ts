import { z } from 'zod';
import { command } from '../../contracts/command';
import { event } from '../../contracts/event';
import type { CommandMessage } from '../../contracts/message';
import { entity } from '../../model/entity';
import { model } from '../../model/model';

const added = event('counter.added', { data: z.object({ by: z.number(), note: z.string().optional() }) });
const hidden = event('counter.hidden', { data: z.object({}), visibility: 'private' });
const add = command('add', { data: z.object({ by: z.number().default(1), note: z.string().optional() }) });
const hide = command('hide', { data: z.object({}) });

/** Counters with public and private events, for tests of what lies behind the commit. */
export const counters = model({
  entities: [
    entity('counter', {
      version: 1,
      commands: [add, hide],
      events: [added, hidden],
      refusals: {},
      initial: { total: 0 },
      decide: {
        add: (_state, { by, note }) => [added(note === undefined ? { by } : { by, note })],
        hide: () => [hidden({})],
      },
      evolve: {
        'counter.added': (state, { by }) => ({ total: state.total + by }),
        'counter.hidden': (state) => state,
      },
    }),
  ],
});

let nth = 0;
export const counterCommand = (entityId: string, data: unknown = {}, name: 'add' | 'hide' = 'add'): CommandMessage => ({
  entityType: 'counter',
  entityId,
  commandId: `c${++nth}`,
  name,
  version: 1,
  data,
});
