import { ApplicationFailure } from '@temporalio/activity';
import { beginAudit, endAudit, noteCompared, readDrifts } from '../../db/audits';
import { readIdentity } from '../../db/identity';
import type { Model } from '../../model/model';
import type { Projection } from '../../model/projection';
import { projectionConsumer } from '../../workflows/names';
import type { AuditActivities, AuditInput, AuditResult } from '../../workflows/audit';
import type { ReplayPorts } from '../replay';
import { compareRow, compareState, entityConsumer, type Compared } from './audit-entity';
import { compareSharedRows } from './audit-shared';
import { Pacer } from './pacer';
import { sampleEntities, type SampledEntity } from './sample';

/** What audits do: they read by `reprise_read`, and write down by `reprise_replay` what they found. */
export function makeAuditActivities(ports: ReplayPorts): AuditActivities {
  return {
    audit: (input) => audit(ports, input),
    declaredVersion: async (projection) => projectionOf(ports.model, projection).version,
  };
}

/** Samples entities, folds each slowly again, and compares its state and its row. What is known to differ is looked at first. */
export async function audit(ports: ReplayPorts, input: AuditInput & { readonly run: string }): Promise<AuditResult> {
  const { db, readDb, model } = ports;
  const projection = projectionOf(model, input.projection);
  const consumer = projectionConsumer(projection.name);
  const name = { consumer, run: input.run };
  const audited = { db: readDb, model, projection, consumer, partitions: (await readIdentity(readDb)).partitions };
  await beginAudit(db, name, projection.from);
  const known = await readKnown(ports, projection);
  const sampled = await sampleEntities(readDb, projection.from, input.entities);
  const entities = distinct([...known.entities, ...sampled]);
  const tally = new Tally(ports);
  for await (const entity of atPace(ports, entities, input.perSecond)) {
    await tally.note([await compareState(audited, entity)]);
    if (projection.oneEntityPerRow) await tally.note([await compareRow(audited, entity)]);
  }
  if (!projection.oneEntityPerRow) await tally.note(await compareSharedRows(ports, audited, entities, known.keys));
  const { rows, states, different, notCompared } = tally;
  await endAudit(db, name, { entities: entities.length, compared: rows + states, different });
  return { entities: entities.length, rows, states, different, notCompared };
}

class Tally {
  rows = 0;
  states = 0;
  different = 0;
  notCompared = 0;

  constructor(private readonly ports: ReplayPorts) {}

  async note(of: readonly Compared[]): Promise<void> {
    const compared = of.flatMap(({ subject }) => (subject ? [subject] : []));
    const drifts = of.flatMap(({ drift }) => (drift ? [drift] : []));
    this.notCompared += of.length - compared.length;
    this.states += compared.filter(({ consumer }) => consumer.startsWith('entity/')).length;
    this.rows += compared.filter(({ consumer }) => consumer.startsWith('projection/')).length;
    this.different += drifts.length;
    if (compared.length > 0) await noteCompared(this.ports.db, compared, drifts);
  }
}

async function* atPace(
  { heartbeat, signal }: ReplayPorts,
  entities: readonly SampledEntity[],
  perSecond: number | null,
): AsyncGenerator<SampledEntity> {
  const stop = signal();
  const pacer = new Pacer();
  pacer.perSecond = perSecond;
  for (const [nth, entity] of entities.entries()) {
    await pacer.take(1, stop);
    stop.throwIfAborted();
    heartbeat({ entities: nth });
    yield entity;
  }
}

/** So that a difference leaves the figures once it is mended, whatever the sample holds. */
async function readKnown({ db }: ReplayPorts, projection: Projection) {
  const consumer = projectionConsumer(projection.name);
  const rows = await readDrifts(db, [consumer]);
  const states = await readDrifts(db, projection.from.map(entityConsumer));
  const [type = ''] = projection.from;
  const ofStates = states.map((drift) => ({
    entityType: drift.consumer.slice('entity/'.length),
    entityId: drift.subject,
  }));
  if (!projection.oneEntityPerRow) return { entities: ofStates, keys: rows.map(({ subject }) => subject) };
  return { entities: [...rows.map(({ subject }) => ({ entityType: type, entityId: subject })), ...ofStates], keys: [] };
}

const distinct = (entities: readonly SampledEntity[]): SampledEntity[] => [
  ...new Map(entities.map((entity) => [`${entity.entityType}/${entity.entityId}`, entity])).values(),
];

function projectionOf(model: Model, name: string): Projection {
  const projection = model.projection(name);
  if (projection) return projection;
  // Another worker may have it: this try ends, and the next one may run there.
  throw ApplicationFailure.retryable(`no projection '${name}' in the model of this worker`, 'NotHere');
}
