import type { Pool } from 'pg';
import { projectionConsumer } from '../workflows/names';
import type { Waited } from './send-result';

export interface Place {
  readonly entityType: string;
  readonly entityId: string;
  readonly partition: number;
  readonly offset: number;
}

// All waits of a process share one query per tick.
const TICK_MS = 10;
const TICK_MS_MAX = 200;

interface Wait {
  readonly projection: string;
  readonly place: Place;
  readonly deadline: number;
  readonly resolve: (waited: Waited) => void;
}

/** Waits until read models show an event: sound because offsets are gapless and a checkpoint moves with its rows. */
export class ProjectionWaits {
  private waits: Wait[] = [];
  private ticking = false;
  private pauseMs = TICK_MS;

  constructor(private readonly db: Pool) {}

  /** `late` when the active generation has not applied it by `deadline` (ms since 1970), or there is none. */
  wait(projection: string, place: Place, deadline: number): Promise<Waited> {
    return new Promise((resolve) => {
      this.waits.push({ projection, place, deadline, resolve });
      this.pauseMs = TICK_MS;
      if (!this.ticking) void this.tick();
    });
  }

  private async tick(): Promise<void> {
    this.ticking = true;
    while (this.waits.length > 0) {
      const asked = this.waits;
      // The command is committed: a database that is away for a moment makes its wait late, never its send fail.
      const answers = await this.look(asked).catch(() => []);
      const done = new Set(asked.filter((wait, index) => this.settle(wait, answers[index])));
      this.waits = this.waits.filter((wait) => !done.has(wait));
      this.pauseMs = done.size > 0 ? TICK_MS : Math.min(this.pauseMs * 1.5, TICK_MS_MAX);
      await new Promise((resolve) => setTimeout(resolve, this.pauseMs));
    }
    this.ticking = false;
  }

  private settle(wait: Wait, answer: { applied: boolean; parked: boolean } | undefined): boolean {
    if (answer?.parked) wait.resolve('parked');
    else if (answer?.applied) wait.resolve('applied');
    else if (Date.now() >= wait.deadline) wait.resolve('late');
    else return false;
    return true;
  }

  /** Per wait, in order: applied by the active generation, or parked for it. */
  private async look(waits: readonly Wait[]): Promise<{ applied: boolean; parked: boolean }[]> {
    const { rows } = await this.db.query<{ applied: boolean; parked: boolean }>({
      name: 'wait_for_projections',
      text: `select coalesce(c.next_offset > w."offset", false) as applied, k.entity_id is not null as parked
             from unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::bigint[])
               with ordinality as w (consumer, entity_type, entity_id, partition, "offset", nth)
             left join reprise.generations g on g.consumer = w.consumer and g.status = 'active'
             left join reprise.checkpoints c
               on c.consumer = g.consumer and c.generation = g.generation and c.partition = w.partition
             left join reprise.parked k
               on k.consumer = g.consumer and k.generation = g.generation
               and k.entity_type = w.entity_type and k.entity_id = w.entity_id and k.from_offset <= w."offset"
             order by w.nth`,
      values: [
        waits.map(({ projection }) => projectionConsumer(projection)),
        waits.map(({ place }) => place.entityType),
        waits.map(({ place }) => place.entityId),
        waits.map(({ place }) => place.partition),
        waits.map(({ place }) => place.offset),
      ],
    });
    return rows;
  }
}
