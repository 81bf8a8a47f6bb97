import { Client } from '@temporalio/client';
import type { Pool } from 'pg';
import { checkBound } from '../../client/binding';
import { connectTemporal } from '../../client/connect';
import { NoReplay, ReplayRefused, ReplayRunning, ReplaySilent, type ReplayDoor } from '../../client/replay';
import { readIdentity } from '../../db/identity';
import type { Model } from '../../model/model';
import type { Projection } from '../../model/projection';
import { findContext, loadModel } from '../context';
import { CliFailure } from '../failure';
import { wrong } from './parse';

/** The projection of that name, or a usage error that names those there are. */
export function projectionOf(name: string, model: Model = loadModel(findContext().project)): Projection {
  const found = model.projection(name);
  if (found) return found;
  const known = model.projections.map((projection) => projection.name).join(', ');
  throw wrong(`the model has no projection '${name}'`, `It has: ${known || 'none'}`);
}

/** Temporal, once it is known to belong to this database: else another's replay would be switched or dropped. */
export async function withDoor<T>(db: Pool, work: (door: ReplayDoor) => Promise<T>): Promise<T> {
  const { temporal, idPrefix } = findContext();
  const connection = await connectTemporal(temporal.connection);
  try {
    const client = new Client({ connection, namespace: temporal.namespace });
    const { databaseId } = await readIdentity(db);
    await checkBound(client, { idPrefix, databaseId });
    return await work({ temporal: client, idPrefix });
  } catch (error) {
    throw asFailure(error);
  } finally {
    await connection.close();
  }
}

/** What replays refuse, with what to do next. */
function asFailure(error: unknown): unknown {
  if (error instanceof ReplayRunning) {
    const { projection } = error.running;
    return new CliFailure(
      'replay_running',
      error.message,
      `Watch it: 'reprise replay watch ${projection}'; or end it: 'reprise replay cancel ${projection}'.`,
    );
  }
  if (error instanceof NoReplay) {
    return new CliFailure(
      'no_replay',
      error.message,
      "See 'reprise replay status'; 'reprise replay start' starts one.",
    );
  }
  if (error instanceof ReplayRefused) {
    return new CliFailure('replay_refused', error.message, "See 'reprise replay status'.");
  }
  if (error instanceof ReplaySilent) {
    return new CliFailure(
      'replay_silent',
      error.message,
      "Are Temporal and a worker of replays up ('reprise worker replay')? It may still be taken when they are: see 'reprise replay status'.",
    );
  }
  return error;
}
