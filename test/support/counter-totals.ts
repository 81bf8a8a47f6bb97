import { projection, sql } from '../../model/projection';
import { counters } from './counters';

/** A read model of counters whose fold fails as the test says: by entity, or for the number 13. */
export const counterTotals = (failOn: (entityId: string, by: number) => void) =>
  projection('counter_totals', {
    version: 1,
    from: [counters.entities[0]],
    table: sql`counter_id text primary key, total smallint not null, events integer not null`,
    initial: (counterId: string) => ({ counterId, total: 0, events: 0 }),
    fold: {
      'counter.added': (row, { entityId, data }) => {
        failOn(entityId, data.by);
        return { ...row, total: row.total + data.by, events: row.events + 1 };
      },
    },
  });
