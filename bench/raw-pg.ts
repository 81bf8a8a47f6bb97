import { performance } from 'node:perf_hooks';
import type { Pool } from 'pg';
import { drive, rateOf, type Rate } from './measure';

const COMMANDS_PER_ORDER = 3;
const DATA = JSON.stringify({ customerId: 'VINET', currency: 'EUR', terms: 'account', lines: [], totalMinor: 16800 });

/** The same work per command by hand: state, event, outbox row and command id. Rows only; no consumer reads them. */
export async function prepareRaw(db: Pool): Promise<void> {
  await db.query(`
    create table raw_state (id text primary key, version integer not null, state jsonb not null);
    create table raw_events (position bigint generated always as identity primary key, id text not null,
      version integer not null, type text not null, data jsonb not null, unique (id, version));
    create table raw_outbox (position bigint generated always as identity primary key, id text, message jsonb);
    create table raw_commands (id text, command_id text, primary key (id, command_id));
    create function raw_command(an_id text, a_command text, a_state jsonb, a_type text, some_data jsonb) returns integer
    language plpgsql as $$
    declare now_version integer;
    begin
      insert into raw_commands values (an_id, a_command) on conflict do nothing;
      if not found then select version into now_version from raw_state where id = an_id; return now_version; end if;
      select version into now_version from raw_state where id = an_id for update;
      now_version := coalesce(now_version, 0) + 1;
      insert into raw_state values (an_id, now_version, a_state)
        on conflict (id) do update set version = excluded.version, state = excluded.state;
      insert into raw_events (id, version, type, data) values (an_id, now_version, a_type, some_data);
      insert into raw_outbox (id, message) values (an_id, some_data);
      return now_version;
    end $$`);
}

/** begin .. commit with prepared statements, six round trips, the decision in TypeScript. */
export function rawTransactions(db: Pool, tag: string, commands: number, inFlight: number): Promise<Rate> {
  return driveOrders(commands, inFlight, async (order, version) => {
    const id = `${tag}-${order}`;
    const tx = await db.connect();
    try {
      await tx.query('begin');
      await tx.query({
        name: 'raw_select',
        text: 'select version, state from raw_state where id = $1 for update',
        values: [id],
      });
      await tx.query({
        name: 'raw_upsert',
        text: `insert into raw_state values ($1, $2, $3)
               on conflict (id) do update set version = excluded.version, state = excluded.state`,
        values: [id, version, DATA],
      });
      await tx.query({
        name: 'raw_event',
        text: 'insert into raw_events (id, version, type, data) values ($1, $2, $3, $4)',
        values: [id, version, 'order.happened', DATA],
      });
      await tx.query({
        name: 'raw_outbox',
        text: 'insert into raw_outbox (id, message) values ($1, $2)',
        values: [id, DATA],
      });
      await tx.query('commit');
    } finally {
      tx.release();
    }
  });
}

/** One function call per command, one round trip. */
export function rawFunction(db: Pool, tag: string, commands: number, inFlight: number): Promise<Rate> {
  return driveOrders(commands, inFlight, async (order, version) => {
    await db.query({
      name: 'raw_function',
      text: 'select raw_command($1, $2, $3, $4, $5)',
      values: [`${tag}-${order}`, `c${version}`, DATA, 'order.happened', DATA],
    });
  });
}

/** Each slot plays an order's commands one after the other. */
export async function driveOrders(
  commands: number,
  inFlight: number,
  one: (order: number, version: number) => Promise<void>,
): Promise<Rate> {
  const latencies: number[] = [];
  const rate = await drive(Math.ceil(commands / COMMANDS_PER_ORDER), inFlight, async (order) => {
    for (let version = 1; version <= COMMANDS_PER_ORDER; version++) {
      const sentAt = performance.now();
      await one(order, version);
      latencies.push(performance.now() - sentAt);
    }
  });
  return rateOf(latencies, latencies.length / (rate.perSecond * COMMANDS_PER_ORDER));
}
