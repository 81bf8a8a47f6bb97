import { Client } from '@temporalio/client';
import { connectTemporal } from '../../client/connect';
import type { Pool } from 'pg';
import { recoverReactions } from '../../activities/react/recover';
import { makeStarter, type Starter } from '../../activities/react/start';
import { readReaction } from '../../activities/react/rows';
import { requestRedrive, skipParked } from '../../db/parked';
import { openPool } from '../../db/pool';
import { openReruns, readReactionRuns, readRerunnable, readReactionStatus, setPaused } from '../../db/reactions';
import type { Model } from '../../model/model';
import type { AnyReaction } from '../../model/reaction';
import { reactionConsumer } from '../../workflows/names';
import { actor } from '../actor';
import { confirm } from '../confirm';
import { findContext, loadModel, type Context } from '../context';
import { CliFailure } from '../failure';
import { table, type Output } from '../output';
import { withDb } from '../with-db';
import { loadReactions } from '../reactions';

type Args = readonly string[];
type Options = Record<string, unknown>;

export async function listReactions(output: Output): Promise<void> {
  await withDb('read', async (db) => {
    const reactions = await readReactionStatus(db);
    output.result({ reactions }, () => table(reactions));
  });
}

export async function showReaction(output: Output, [name = '', entity]: Args): Promise<void> {
  declared(name);
  await withDb('read', async (db) => {
    const runs = await readReactionRuns(db, name, entity ?? null);
    output.result({ reaction: name, runs }, () => table(runs));
  });
}

export async function retryReaction(output: Output, [name = '', entity]: Args): Promise<void> {
  declared(name);
  await withDb('owner', async (db) => {
    const asked = await requestRedrive(db, reactionConsumer(name), entity ?? null);
    if (asked === 0) throw notParked(name, entity);
    output.result({ retrying: asked }, () => [`${asked} entities go on, in order, under the same idempotency keys.`]);
  });
}

export async function skipReaction(output: Output, [name = '', entity = '']: Args, options: Options): Promise<void> {
  declared(name);
  const reason = reasonOf(options, 'a skip');
  await withDb('owner', async (db) => {
    const consumer = reactionConsumer(name);
    const skipped = await skipParked(db, { consumer, entity, reason, actor: actor() });
    if (!skipped) throw notParked(name, entity);
    output.result({ skipped: entity, reaction: name, reason }, () => [
      `${entity} goes on behind the event that failed.`,
    ]);
  });
}

export const pauseReaction = (output: Output, args: Args): Promise<void> => setPausedTo(output, args, true);
export const resumeReaction = (output: Output, args: Args): Promise<void> => setPausedTo(output, args, false);

async function setPausedTo(output: Output, [name = '']: Args, paused: boolean): Promise<void> {
  declared(name);
  await withDb('owner', async (db) => {
    if (!(await setPaused(db, reactionConsumer(name), paused))) {
      throw new CliFailure(
        'not_running',
        `${name} has no checkpoints yet`,
        "Its worker makes them: 'reprise worker reactions'.",
      );
    }
    output.result({ reaction: name, paused }, () => [
      paused ? `${name} starts nothing more; what was started goes on.` : `${name} goes on.`,
    ]);
  });
}

/** Runs it again for chosen events: of an entity, or by their ids. */
export async function rerunReaction(output: Output, [name = '', ...events]: Args, options: Options): Promise<void> {
  const reaction = declared(name);
  const reason = reasonOf(options, 'a rerun');
  const wrong = events.find((id) => !UUID.test(id));
  if (wrong !== undefined) {
    throw new CliFailure(
      'usage',
      `'${wrong}' is no event id`,
      "'reprise entity events <type> <id> --json' shows them.",
      2,
    );
  }
  await confirm(
    `Run ${name} again for ${events.length} events? The outside is asked again, under the same keys.`,
    options,
  );
  await withStarter(reaction, async (starter, { owner, db }) => {
    const model = loadModel(findContext().project);
    await refuseOthers(owner, model, reaction, events);
    const opened = await openReruns(owner, { reaction: name, eventIds: events, reason, actor: actor() });
    for (const ref of opened) {
      const found = await readReaction(db, ref);
      if (found) await starter.recover(ref, model.lift(found.event));
    }
    output.result({ reaction: name, asked: events.length, started: opened.length, reason }, () => [
      `${opened.length} of ${events.length} started again (those that are open already are not).`,
    ]);
  });
}

export async function recoverReaction(output: Output, [name = '']: Args): Promise<void> {
  const reaction = declared(name);
  await withStarter(reaction, async (starter, { db }) => {
    const model = loadModel(findContext().project);
    const progress = (looked: number, started: number) => {
      if (looked % PROGRESS_EVERY === 0) output.note(`${looked} open ones looked at, ${started} started again`);
    };
    const recovered = await recoverReactions({ db, model, reaction: name, starter, progress });
    output.result({ reaction: name, ...recovered }, () => [
      `${recovered.open} are open; ${recovered.started} of them did not run in Temporal and were started again.`,
    ]);
  });
}

/** Only what it reacts to, and nothing that holds back its entity: that is for `retry`. */
async function refuseOthers(db: Pool, model: Model, reaction: AnyReaction, eventIds: readonly string[]): Promise<void> {
  const found = await readRerunnable(db, reaction.name, eventIds);
  for (const id of eventIds) {
    const one = found.find(({ event }) => event.eventId === id.toLowerCase());
    const usage = (message: string, next: string) => new CliFailure('usage', message, next, 2);
    if (!one) throw usage(`there is no event ${id}`, "'reprise entity events <type> <id> --json' shows them.");
    const { event, parked } = one;
    if (parked)
      throw usage(
        `${event.entityType}/${event.entityId} is parked`,
        `Let it go on: 'reprise reaction retry ${reaction.name}'`,
      );
    if (
      !reaction.on.includes(event.type) ||
      !reaction.when(model.lift(event)) ||
      (event.origin !== 'live' && !reaction.backfilled)
    ) {
      throw usage(`${reaction.name} does not react to ${event.type} ${id}`, `It reacts to: ${reaction.on.join(', ')}`);
    }
  }
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const PROGRESS_EVERY = 100;

function declared(name: string): AnyReaction {
  const { reactions } = loadReactions(findContext().project);
  const found = reactions.find((one) => one.name === name);
  if (found) return found;
  const known = reactions.map((one) => one.name).join(', ');
  throw new CliFailure('usage', `the project has no reaction '${name}'`, `It has: ${known || 'none'}`, 2);
}

function reasonOf(options: Options, what: string): string {
  const reason = typeof options['reason'] === 'string' ? options['reason'].trim() : '';
  if (reason === '') throw new CliFailure('usage', `${what} needs --reason`, 'It is kept, with your name.', 2);
  return reason;
}

const notParked = (name: string, entity: string | undefined): CliFailure =>
  new CliFailure(
    'not_parked',
    `nothing is parked: ${entity ?? 'no entity'} at '${name}'`,
    "See 'reprise reaction ls'.",
  );

async function withStarter(
  reaction: AnyReaction,
  work: (starter: Starter, pools: { readonly owner: Pool; readonly db: Pool }) => Promise<void>,
): Promise<void> {
  const context: Context = findContext();
  const owner = openPool({ url: context.databaseUrl, max: 1, applicationName: 'reprise-cli' });
  const db = openPool({ url: context.urlOf('react'), max: 2, applicationName: 'reprise-cli' });
  const connection = await connectTemporal(context.temporal.connection);
  try {
    const temporal = new Client({ connection, namespace: context.temporal.namespace });
    const model = loadModel(context.project);
    const { ports } = loadReactions(context.project);
    await work(makeStarter({ temporal, db, model, reaction, ports, idPrefix: context.idPrefix }), { owner, db });
  } finally {
    await connection.close();
    await Promise.all([owner.end(), db.end()]);
  }
}
