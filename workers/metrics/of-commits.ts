import { Counter, Histogram, type Registry } from 'prom-client';
import type { CommitWatch } from '../../activities/commit';
import type { Outcome } from '../../contracts/message';

// From a commit on a local disk to one that waited for every lock it could.
const COMMIT_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

/** What this process commits. Codes come from lists: refusals that entities declare, and ours. */
export function watchCommits(registry: Registry): CommitWatch {
  const registers = [registry];
  const seconds = new Histogram({
    name: 'reprise_commit_seconds',
    help: 'Time of a batch from load to committed.',
    buckets: COMMIT_SECONDS,
    registers,
  });
  const commits = new Counter({ name: 'reprise_commits_total', help: 'Transactions of the commit.', registers });
  const commands = new Counter({
    name: 'reprise_commands_total',
    help: 'Commands answered, by outcome and code.',
    labelNames: ['outcome', 'code'],
    registers,
  });
  const reloads = new Counter({
    name: 'reprise_commit_reloads_total',
    help: 'Batches decided again since a version had moved.',
    registers,
  });
  return {
    onAnswered: (outcomes, { committed, ms }) => {
      for (const outcome of outcomes) commands.inc(labelsOf(outcome));
      if (!committed) return;
      commits.inc();
      seconds.observe(ms / 1000);
    },
    onMoved: () => reloads.inc(),
  };
}

function labelsOf(outcome: Outcome): { outcome: string; code: string } {
  const code = outcome.outcome === 'accepted' ? '' : outcome.code;
  const repeated = outcome.outcome !== 'failed' && outcome.repeated === true;
  return { outcome: repeated ? 'repeated' : outcome.outcome, code };
}
