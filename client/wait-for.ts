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
  readonly reject: (error: unknown) => void;
}

/** Waits until read models show an event: sound because offsets are gapless and a checkpoint moves with its rows. */
export class ProjectionWaits {
  private waits: Wait[] = [];
  private ticking = false;

  constructor(private readonly db: Pool) {}

  /** `late` when the active generation has not applied it by `deadline` (ms since 1970), or there is none. */
  wait(projection: string, place: Place, deadline: number): Promise<Waited> {
    return new Promise((resolve, reject) => {
      this.waits.push({ projection, place, deadline, resolve, reject });
      if (!this.ticking) void this.tick();
    });
  }

  private async tick(): Promise<void> {
    this.ticking = true;
    let pauseMs = TICK_MS;
    while (this.waits.length > 0) {
      const asked = this.waits;
      try {
        const answers = await this.look(asked);
        const done = new Set(asked.filter((wait, index) => this.settle(wait, answers[index])));
        this.waits = this.waits.filter((wait) => !done.has(wait));
        pauseMs = done.size > 0 ? TICK_MS : Math.min(pauseMs * 1.5, TICK_MS_MAX);
      } catch (error) {
        for (const { reject } of asked) reject(error);
        this.waits = this.waits.filter((wait) => !asked.includes(wait));
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
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
