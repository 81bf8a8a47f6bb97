import type { Command } from 'commander';
import { command } from '../command';
import { listAudits, runAuditCommand } from '../commands/audit';
import { repairCommand } from '../commands/repair';

/** `reprise audit ...`, and the repair of what it finds. */
export function describeAudit(program: Command, projection: Command): void {
  const audit = program.command('audit').description('entities folded again, one event at a time, and compared');
  withSampling(command(audit, 'run <projection>', 'compare a random sample with rows and states', runAuditCommand));
  command(audit, 'ls', 'the last audits, and what is known to differ', listAudits);
  command(
    projection,
    'repair <name> [entity]',
    'fold the row of one entity again, like order/10248, and write what differs',
    repairCommand,
  ).option('--row <key>', 'a row that several entities feed, by its key');
}

/** What an audit takes, run at once or by a schedule. */
export const withSampling = (made: Command): Command =>
  made
    .option('--entities <n>', 'how many are sampled (100)')
    .option('--per-second <n>', 'entities per second at most (no limit)');
