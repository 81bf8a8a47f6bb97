import { AuditFailed, runAudit } from '../../client/audit';
import { countReplayWorkers } from '../../client/replay';
import { readAudits, readDrifts } from '../../db/audits';
import { CliFailure } from '../failure';
import { table, type Output } from '../output';
import { parseAudit } from '../audit/parse';
import { projectionOf, withDoor } from '../replay/door';
import { withDb } from '../with-db';

/** Runs an audit and waits for it; exit 1 when something differs. Ctrl-C leaves it running. */
export async function runAuditCommand(
  output: Output,
  [name = '']: readonly string[],
  options: Record<string, unknown>,
): Promise<void> {
  const { name: projection } = projectionOf(name);
  const input = parseAudit(projection, options);
  await withDb('read', async (db) => {
    const result = await withDoor(db, async (door) => {
      if ((await countReplayWorkers(door)) === 0) {
        throw new CliFailure(
          'no_worker',
          'no worker of replays is up, which audits too',
          "Start one: 'reprise worker replay'.",
        );
      }
      return runAudit(door, input);
    }).catch((error: unknown) => {
      if (error instanceof AuditFailed) throw new CliFailure('audit_failed', error.message);
      throw error;
    });
    const found = await readDrifts(db, null);
    const differ = found.filter(
      ({ consumer }) => consumer === `projection/${projection}` || consumer.startsWith('entity/'),
    );
    output.result({ audit: projection, ...result, differ }, () => [
      `${result.entities} entities: ${result.rows} rows and ${result.states} states compared, ${result.different} differ` +
        (result.notCompared > 0 ? `, ${result.notCompared} not compared` : ''),
      ...(result.different > 0 ? [...table(differ), cure(projection)] : []),
    ]);
    if (result.different > 0) process.exitCode = 1;
  });
}

const cure = (projection: string): string =>
  `A row is mended by 'reprise projection repair ${projection} <entity>', all of them by 'reprise replay start ${projection}'.`;

export async function listAudits(output: Output): Promise<void> {
  await withDb('read', async (db) => {
    const audits = await readAudits(db);
    const differ = await readDrifts(db, null);
    output.result({ audits, differ }, () => [
      ...table(audits),
      ...(differ.length > 0 ? ['', 'what differs:', ...table(differ)] : []),
    ]);
  });
}
