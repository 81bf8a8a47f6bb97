import type { Pool } from 'pg';
import { makeCommit, type Commit } from '../../activities/commit';
import { makeProjector } from '../../activities/project';
import type { ReplayPorts } from '../../activities/replay';
import { tailLog, type InsideConsumer } from '../../activities/tail';
import { endTurn, PARKED_MAX, takeOver } from '../../activities/tail/checkpoints';
import type { Turn } from '../../activities/tail/chunk';
import { NOT_WATCHED } from '../../activities/watch';
import type { CommandMessage } from '../../contracts/message';
import { migrate } from '../../db/migrate';
import { openPool } from '../../db/pool';
import { describeTable } from '../../db/read-model-table';
import type { Role } from '../../db/urls';
import { listenForWakes } from '../../db/wake';
import type { Model } from '../../model/model';
import { projectionConsumer, projectionOfConsumer } from '../../workflows/names';
import type { Build } from '../../workflows/replay';
import { testDatabase, type TestDatabase } from './system';

const PARTITIONS = 64;

/** A database whose read models are fed, and built again, in the test's own process and with each one's login. */
export class Rebuilding {
  private readonly pools: Pool[] = [];
  readonly commit: Commit;

  private constructor(
    readonly database: TestDatabase,
    readonly model: Model,
  ) {
    this.commit = makeCommit({ db: this.pool('commit'), model, partitions: PARTITIONS, wake: () => undefined });
  }

  static async open(model: Model): Promise<Rebuilding> {
    const database = await testDatabase();
    await migrate(database.url, { model, owned: true });
    return new Rebuilding(database, model);
  }

  /** Of a system whose workers feed it. */
  static of(database: TestDatabase, model: Model): Rebuilding {
    return new Rebuilding(database, model);
  }

  pool(role: Role): Pool {
    const pool = openPool({ url: this.database.urlOf(role), max: 8, applicationName: `test-${role}` });
    this.pools.push(pool);
    return pool;
  }

  /** The owner's. */
  get db(): Pool {
    return this.database.db;
  }

  async send(commands: readonly CommandMessage[]): Promise<void> {
    const { outcomes } = await this.commit([...commands]);
    const failed = outcomes.find(({ outcome }) => outcome !== 'accepted');
    if (failed) throw new Error(JSON.stringify(failed));
  }

  /** What a replay's activities are given. */
  ports(model = this.model, signal = new AbortController().signal): ReplayPorts {
    const nothing = () => undefined;
    return { db: this.pool('replay'), readDb: this.pool('read'), model, heartbeat: nothing, signal: () => signal };
  }

  /** The next generation, empty, and the row of its replay. */
  async begin(projection: string, version = 1): Promise<Build> {
    const consumer = projectionConsumer(projection);
    const { rows } = await this.db.query<{ generation: number }>(
      `select reprise.create_generation($1::text, $2::integer, 'building') as generation`,
      [consumer, version],
    );
    const generation = rows[0]?.generation ?? 0;
    await this.db.query(
      `insert into reprise.replays (consumer, generation, actor) values ($1::text, $2::integer, 'test')`,
      [consumer, generation],
    );
    return { consumer, generation };
  }

  private async projector(db: Pool, { consumer, generation }: Build, model: Model): Promise<InsideConsumer> {
    const { rows } = await db.query<{ table_name: string }>(
      'select table_name from reprise.generations where consumer = $1::text and generation = $2::integer',
      [consumer, generation],
    );
    const projection = model.projection(projectionOfConsumer(consumer));
    if (!projection) throw new Error(`${consumer} is not in the model`);
    const table = await describeTable(db, rows[0]?.table_name ?? '');
    return makeProjector({ model, projection, generation, table });
  }

  /** Feeds a generation as its consumer does, until it is stopped. */
  async feed(projection: string, generation = 1, model = this.model): Promise<{ readonly stop: () => Promise<void> }> {
    const db = this.pool('project');
    const abort = new AbortController();
    const wakes = listenForWakes(this.database.urlOf('project'));
    const consumer = await this.projector(db, { consumer: projectionConsumer(projection), generation }, model);
    const running = tailLog(consumer, { db, wakes, heartbeat: () => undefined, signal: abort.signal });
    const stop = async () => {
      abort.abort();
      await running.finally(() => wakes.close());
    };
    return { stop };
  }

  /** What builds it, as its owner. */
  async turn(build: Build): Promise<Turn<InsideConsumer>> {
    const db = this.pool('replay');
    const consumer = await this.projector(db, build, this.model);
    const { epoch } = await takeOver(db, consumer);
    await endTurn(db, consumer, epoch); // of no event it is in doubt whether a process died of it
    const signal = new AbortController().signal;
    return { db, consumer, epoch, parkedMax: PARKED_MAX, signal, heartbeat: () => undefined, watch: NOT_WATCHED };
  }

  /** Whether a generation has every event of the log. */
  async isAtHead(projection: string, generation = 1): Promise<boolean> {
    const { rows } = await this.db.query<{ lag: number }>(
      'select sum(lag_events)::bigint as lag from reprise.lag where consumer = $1::text and generation = $2::integer',
      [projectionConsumer(projection), generation],
    );
    return rows[0]?.lag === 0;
  }

  async closePools(): Promise<void> {
    await Promise.all(this.pools.map((pool) => pool.end()));
  }

  async close(): Promise<void> {
    await this.closePools();
    await this.database.drop();
  }
}
