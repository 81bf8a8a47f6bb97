import { createHash } from 'node:crypto';
import { z } from 'zod';
import { numberFrom } from './process';
import type { JournalEntry } from './journal';

const amount = { paymentId: z.string().min(1), amountMinor: z.int().min(1), currency: z.string().regex(/^[A-Z]{3}$/) };
const bodies = {
  capture: z.strictObject({ ...amount, customerId: z.string().min(1) }),
  refund: z.strictObject(amount),
};

export type CallName = keyof typeof bodies;
export const CALL_OF: Readonly<Record<string, CallName>> = { '/captures': 'capture', '/refunds': 'refund' };

/** What was asked, its body in shape. `customerId` is null on a refund. */
export interface Call {
  readonly call: CallName;
  readonly key: string;
  readonly bodyHash: string;
  readonly paymentId: string;
  readonly customerId: string | null;
  readonly amountMinor: number;
  readonly currency: string;
}

export interface ProviderEntry extends JournalEntry {
  readonly call: CallName;
  readonly paymentId: string;
  readonly customerId: string | null;
  readonly amountMinor: number;
  readonly currency: string;
  /** What this and every repeat is answered; null for what is not remembered. */
  readonly answer: Answer | null;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What the provider makes of a call: what goes into the journal, and when it answers what; null is never. */
export interface Verdict {
  readonly outcome: JournalEntry['outcome'];
  /** Remembered under the key, and given to every repeat. */
  readonly answer: Answer | null;
  readonly reply: Answer | null;
  /** In milliseconds of the epoch. */
  readonly replyAt: number;
}

export function parseBody(call: CallName, body: unknown): Omit<Call, 'call' | 'key' | 'bodyHash'> | null {
  const parsed = bodies[call].safeParse(body);
  return parsed.success ? { customerId: null, ...parsed.data } : null;
}

/** How slow it is with whom, and which share of the first tries goes wrong. */
export interface Behaviour {
  readonly slowMs: number;
  readonly lateMs: number;
  readonly faults: Readonly<Record<Fault, number>>;
  /** How many tries of a key may go wrong: the next goes through. */
  readonly faultyTries: number;
}

type Fault = 'PROVIDER_TIMEOUT_AFTER' | 'PROVIDER_500' | 'PROVIDER_429' | 'PROVIDER_GARBAGE';
const UNPAID_ORDER_MS = 15 * 60_000;
const PAST_DEADLINE_MS = 5_000;

export function readBehaviour(env: NodeJS.ProcessEnv): Behaviour {
  const share = (fault: Fault) => numberFrom(env, fault, 0);
  const deadlineMs = numberFrom(env, 'UNPAID_ORDER_MS', UNPAID_ORDER_MS);
  return {
    slowMs: numberFrom(env, 'PROVIDER_SLOW_MS', 3_000),
    lateMs: numberFrom(env, 'PROVIDER_LATE_MS', deadlineMs + PAST_DEADLINE_MS),
    faults: {
      PROVIDER_TIMEOUT_AFTER: share('PROVIDER_TIMEOUT_AFTER'),
      PROVIDER_500: share('PROVIDER_500'),
      PROVIDER_429: share('PROVIDER_429'),
      PROVIDER_GARBAGE: share('PROVIDER_GARBAGE'),
    },
    faultyTries: numberFrom(env, 'PROVIDER_FAULTY_TRIES', 1),
  };
}

interface Circumstances {
  /** The call that was decided under this key before. */
  readonly known: ProviderEntry | undefined;
  /** 1, 2, 3 … of this key. */
  readonly attempt: number;
  /** Captured less what was refunded, of this payment. */
  readonly balanceMinor: number;
  readonly now: number;
}

/** Decides a call; pure. A key is decided once: a repeat is answered as the first was, and not before it. */
export function decide(
  call: Call,
  { known, attempt, balanceMinor, now }: Circumstances,
  behaviour: Behaviour,
): Verdict {
  if (known && (known.call !== call.call || known.bodyHash !== call.bodyHash)) {
    return nothingDone('refused', problem(422, 'idempotency_key_reused'), now);
  }
  const fault = drawFault(call.key, attempt, behaviour);
  if (fault === 'PROVIDER_500') return nothingDone('failed', problem(500, 'internal_error'), now);
  if (fault === 'PROVIDER_429')
    return nothingDone('busy', problem(429, 'too_many_requests', { 'retry-after': '1' }), now);
  const verdict = known ? repeated(known, behaviour) : fresh(call, balanceMinor, now, behaviour);
  if (fault === 'PROVIDER_TIMEOUT_AFTER') return { ...verdict, reply: null };
  if (fault === 'PROVIDER_GARBAGE') return { ...verdict, reply: { status: 200, body: '{"status":"capt' } };
  return verdict;
}

function fresh(call: Call, balanceMinor: number, now: number, behaviour: Behaviour): Verdict {
  const { customerId } = call;
  if (customerId?.startsWith('NEVER-')) return { outcome: 'unanswered', answer: null, reply: null, replyAt: now };
  const reason = customerId?.startsWith('DECLINED-')
    ? 'insufficient_funds'
    : call.call === 'refund' && call.amountMinor > balanceMinor
      ? 'refund_too_large'
      : null;
  const { paymentId, amountMinor, currency } = call;
  const status = call.call === 'capture' ? 'captured' : 'refunded';
  const answer = reason
    ? problem(402, reason)
    : { status: 200, body: JSON.stringify({ status, paymentId, amountMinor, currency }) };
  const outcome = reason ? 'declined' : 'executed';
  return { outcome, answer, reply: answer, replyAt: now + delayMs(customerId, behaviour) };
}

function repeated({ at, customerId, answer }: ProviderEntry, behaviour: Behaviour): Verdict {
  return { outcome: 'repeat', answer: null, reply: answer, replyAt: Date.parse(at) + delayMs(customerId, behaviour) };
}

const nothingDone = (outcome: JournalEntry['outcome'], reply: Answer, now: number): Verdict => ({
  outcome,
  answer: null,
  reply,
  replyAt: now,
});

function delayMs(customerId: string | null, { slowMs, lateMs }: Behaviour): number {
  if (customerId?.startsWith('SLOW-')) return slowMs;
  return customerId?.startsWith('LATE-') ? lateMs : 0;
}

// By the key alone: the same run goes wrong at the same calls.
function drawFault(key: string, attempt: number, { faults, faultyTries }: Behaviour): Fault | null {
  if (attempt > faultyTries) return null;
  const drawn = createHash('sha256').update(`${key}/${attempt}`).digest().readUInt32BE() / 2 ** 32;
  let upTo = 0;
  for (const [fault, share] of Object.entries(faults) as [Fault, number][]) {
    upTo += share;
    if (drawn < upTo) return fault;
  }
  return null;
}

/** RFC 9457. */
export const problem = (status: number, code: string, headers: Readonly<Record<string, string>> = {}): Answer => ({
  status,
  body: JSON.stringify({ type: 'about:blank', status, code }),
  headers: { 'content-type': 'application/problem+json', ...headers },
});
