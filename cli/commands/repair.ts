import {
  repairEntity,
  repairRow,
  RepairRefused,
  type Repaired,
  type RepairPorts,
} from '../../activities/project/repair';
import { badEntityId } from '../../contracts/ids';
import { readIdentity } from '../../db/identity';
import type { Projection } from '../../model/projection';
import { findContext, loadModel } from '../context';
import { CliFailure } from '../failure';
import { table, type Output } from '../output';
import { projectionOf } from '../replay/door';
import { wrong } from '../replay/parse';
import { withDb } from '../with-db';

/**
 * Folds one row again and writes what differs. Here and not in a worker: it takes milliseconds, this process has the
 * model and the login, and it works while Temporal is down.
 */
export async function repairCommand(
  output: Output,
  [name = '', entity]: readonly string[],
  options: Record<string, unknown>,
): Promise<void> {
  const model = loadModel(findContext().project);
  const projection = projectionOf(name, model);
  const repair = parseTarget(projection, entity, options['row']);
  await withDb('project', async (db) => {
    const { partitions } = await readIdentity(db);
    const repaired = await repair({ db, model, projection, partitions }).catch((error: unknown) => {
      if (error instanceof RepairRefused) throw new CliFailure(error.code, error.message, error.next);
      throw error;
    });
    if (repaired.events === 0 && repaired.outcome === 'right') {
      throw new CliFailure('not_found', `no event of '${name}' leads to a row '${repaired.key}', and there is none`);
    }
    output.result(repaired, () => linesOf(repaired));
  });
}

function parseTarget(
  projection: Projection,
  entity: string | undefined,
  row: unknown,
): (ports: RepairPorts) => Promise<Repaired> {
  if (typeof row === 'string' && entity === undefined) return (ports) => repairRow(ports, row);
  if (typeof row === 'string' || entity === undefined) {
    throw wrong(
      'what is to be repaired?',
      "Either an entity, like 'order/10248', or a row that several feed: --row <key>",
    );
  }
  const [entityType = '', ...rest] = entity.split('/');
  const entityId = rest.join('/');
  if (!projection.from.includes(entityType)) {
    throw wrong(`'${projection.name}' folds no entity '${entityType}'`, `It folds: ${projection.from.join(', ')}`);
  }
  const bad = badEntityId(entityId);
  if (bad) throw wrong(`no id of an entity: ${bad}`);
  return (ports) => repairEntity(ports, { entityType, entityId });
}

const OUTCOMES: Record<Repaired['outcome'], string> = {
  right: 'is what its events fold to; nothing was written',
  made: 'was missing, and is there now',
  changed: 'was changed',
  removed: 'was not to be there, and is gone',
};

const linesOf = ({ projection, key, outcome, events, columns }: Repaired): string[] => [
  `read.${projection} '${key}' ${OUTCOMES[outcome]} (${events} events folded)`,
  ...(columns.length > 0 ? table(columns) : []),
];
