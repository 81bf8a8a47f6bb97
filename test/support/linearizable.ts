/** One call of a client on one entity, as the client saw it. Times are of one clock. */
export interface Call {
  readonly commandId: string;
  readonly startedAt: number;
  /** Infinity for an answer that never came. */
  readonly endedAt: number;
  /** `unknown`: no answer came. Its effect, if any, is in the log. */
  readonly outcome: 'accepted' | 'refused' | 'unknown';
  /** Of an answer: the entity's version at it, its own events included. */
  readonly version: number | null;
}

/** The log's side: which version each command made. */
export type Log = ReadonlyMap<string, number>;

/**
 * Why a history of calls is not linearizable, or null. The log gives the order of effects; a history is linearizable when
 * that order contradicts no two calls of which one ended before the other began (Herlihy & Wing 1990, section 3). Sends
 * under one id are one call: the first may have taken effect when the first of them began, and must have before the first
 * answer to any of them.
 */
export function notLinearizable(sends: readonly Call[], log: Log): string | null {
  const calls = commandsOf(sends);
  if (typeof calls === 'string') return calls;
  const placed: { readonly call: Call; readonly at: number; readonly effect: boolean }[] = [];
  for (const call of calls) {
    const made = log.get(call.commandId);
    if (call.outcome === 'accepted' && made !== call.version)
      return `${call.commandId} was told version ${call.version}, the log has ${made}`;
    if (call.outcome === 'refused' && made !== undefined) return `${call.commandId} was refused and has an event`;
    if (made !== undefined) placed.push({ call, at: made, effect: true });
    else if (call.outcome === 'refused') placed.push({ call, at: call.version ?? 0, effect: false });
  }
  if (new Set(log.values()).size !== log.size) return 'two commands made one version';
  // An effect at version v comes before every answer given at version v.
  placed.sort((a, b) => a.at - b.at || Number(b.effect) - Number(a.effect));
  let latestStart = -Infinity;
  let latest = '';
  let group: typeof placed = [];
  for (const one of placed) {
    const tied = group[0] && !group[0].effect && !one.effect && group[0].at === one.at;
    if (!tied) {
      for (const { call } of group)
        if (call.startedAt > latestStart) [latestStart, latest] = [call.startedAt, call.commandId];
      group = [];
    }
    group.push(one);
    if (one.call.endedAt < latestStart)
      return `${one.call.commandId} ended before ${latest} began, yet took effect after it`;
  }
  return null;
}

/** One call per command id, from its first send to its first answer; or how its answers contradict each other. */
function commandsOf(sends: readonly Call[]): readonly Call[] | string {
  const calls = new Map<string, Call>();
  for (const send of sends) {
    const known = calls.get(send.commandId);
    if (!known) {
      calls.set(send.commandId, send);
      continue;
    }
    const [one, other] = [known, send].filter(({ outcome }) => outcome !== 'unknown');
    if (one && other && (one.outcome !== other.outcome || one.version !== other.version)) {
      return `${one.commandId} was told ${one.outcome} at ${one.version}, then ${other.outcome} at ${other.version}`;
    }
    calls.set(send.commandId, {
      ...(one ?? known),
      startedAt: Math.min(known.startedAt, send.startedAt),
      endedAt: Math.min(known.endedAt, send.endedAt),
    });
  }
  return [...calls.values()];
}
