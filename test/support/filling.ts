import type { Pool } from 'pg';
import { makeCommit, type Commit } from '../../activities/commit';
import type { ReplayPorts } from '../../activities/replay';
import { begin } from '../../activities/replay/begin';
import { migrate } from '../../db/migrate';
import { openPool } from '../../db/pool';
import type { Model } from '../../model/model';
import type { Build, ReplayInput } from '../../workflows/replay';
import { Rebuilding } from './rebuilding';
import { testDatabase, type TestDatabase } from './system';
import { until } from './until';

export const INPUT: ReplayInput = {
  projection: '',
  declaredVersion: 1,
  selection: null,
  rate: null,
  adaptive: false,
  slices: 1,
  switchWhenVerified: false,
  tolerance: { maxDifferent: 0 },
  graceMs: 0,
  reshape: false,
  rehearsal: false,
  actor: 'test',
};

/** A log, and what fills a generation from it, without Temporal: as the activities are called by their worker. */
export class FillingSystem {
  readonly replayDb: Pool;
  private readonly commitDb: Pool;

  private constructor(
    readonly model: Model,
    readonly database: TestDatabase,
  ) {
    this.replayDb = openPool({ url: database.urlOf('replay'), max: 8, applicationName: 'test' });
    this.commitDb = openPool({ url: database.urlOf('commit'), max: 4, applicationName: 'test' });
  }

  static async open(model: Model): Promise<FillingSystem> {
    const database = await testDatabase();
    await migrate(database.url, { model, owned: true });
    return new FillingSystem(model, database);
  }

  get db(): Pool {
    return this.database.db;
  }

  get commit(): Commit {
    return makeCommit({ db: this.commitDb, model: this.model, partitions: 64, wake: () => undefined });
  }

  begin(projection: string, input: Partial<ReplayInput> = {}): Promise<Build> {
    const declaredVersion = this.model.projection(projection)?.version ?? 1;
    return begin(this.ports(), { ...INPUT, projection, declaredVersion, ...input });
  }

  ports(signal: AbortSignal = new AbortController().signal, model: Model = this.model): ReplayPorts {
    return { db: this.replayDb, readDb: this.db, model, heartbeat: () => undefined, signal: () => signal };
  }

  /** The oracle: the live side's own way, event by event into generation 1. */
  async project(name: string): Promise<void> {
    const live = Rebuilding.of(this.database, this.model);
    const feeding = await live.feed(name);
    await until(() => live.isAtHead(name), { what: `${name} is projected` });
    await feeding.stop();
    await live.closePools();
  }

  /** Rows of either generation that the other has not. */
  async differences(name: string, { generation }: Build): Promise<unknown[]> {
    const [built, live] = [`read.${name}__g${generation}`, `read.${name}__g1`];
    const { rows } = await this.db.query(
      `(select 'built' as only, b::text as row from (select * from ${built} except select * from ${live}) b)
       union all (select 'live', l::text from (select * from ${live} except select * from ${built}) l) limit 5`,
    );
    return rows;
  }

  async end(build: Build): Promise<void> {
    await this.replayDb.query('select reprise.drop_generation($1::text, $2::integer)', [
      build.consumer,
      build.generation,
    ]);
    await this.db.query('update reprise.replays set ended_at = clock_timestamp() where ended_at is null');
  }

  async close(): Promise<void> {
    await Promise.all([this.replayDb.end(), this.commitDb.end()]);
    await this.database.drop();
  }
}
