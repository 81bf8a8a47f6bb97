import { CliFailure } from '../failure';
import type { Output } from '../output';
import { PHASES } from './line';
import type { Decision, Sight } from './watch';

/** What to type next, by where it waits. */
export const NEXT: Readonly<Record<Decision, (projection: string) => string>> = {
  verified: (name) => `Put it in place: 'reprise replay switch ${name}'; or remove it: 'reprise replay drop ${name}'.`,
  different: (name) =>
    `See 'reprise replay report ${name}'; then 'reprise replay accept ${name}', 'verify' or 'cancel'.`,
  refused: (name) => `Cure it and ask again: 'reprise replay switch ${name}'; or 'reprise replay drop ${name}'.`,
  switched: (name) =>
    `The old generation stands by: 'reprise replay rollback ${name}' puts it back, 'reprise replay drop ${name}' removes it now.`,
};

/** How it ended, or what it waits for. One that is not as it should be is a failure, for whoever runs this in a script. */
export function tellEnding(output: Output, projection: string, sight: Sight | null): void {
  if (!sight) {
    output.result({ projection, detached: true }, () => [
      `It goes on. Watch it again: 'reprise replay watch ${projection}'`,
    ]);
    return;
  }
  if (sight.kind === 'failed') {
    const next = `'reprise replay start ${projection}' goes on with what is built; 'reprise replay cancel ${projection}' removes it.`;
    throw new CliFailure('replay_failed', `the replay of '${projection}' failed: ${sight.why}`, next);
  }
  if (sight.kind === 'decision') return tellDecision(output, projection, sight);
  if (sight.kind !== 'ended') throw notRunning(projection);
  const { status } = sight;
  if (status.phase === 'cancelled') {
    throw new CliFailure('replay_cancelled', `the replay of '${projection}' was cancelled, and what it built removed`);
  }
  output.result(status, () => [`${projection}, generation ${status.generation}: ${PHASES[status.phase]}`]);
}

function tellDecision(
  output: Output,
  projection: string,
  { status, stage, summary }: Extract<Sight, { kind: 'decision' }>,
): void {
  const next = NEXT[stage](projection);
  const said = summary ?? (stage === 'refused' ? 'not switched' : PHASES[stage]);
  if (stage === 'different' || stage === 'refused')
    throw new CliFailure(`replay_${stage}`, `${projection}: ${said}`, next);
  output.result({ projection, stage, summary, generation: status.generation, next }, () => [
    `${projection}, generation ${status.generation}: ${said}`,
    next,
  ]);
}

export const notRunning = (projection: string): CliFailure =>
  new CliFailure('no_replay', `no replay of '${projection}' runs`, `'reprise replay start ${projection}' starts one.`);
