import { z } from 'zod';
import { GiveUp, RetryLater } from '../../model/reaction';
import type { Payments } from '../ports';

const CALL_MS_MAX = 5_000;
const RETRY_AFTER_MS_MAX = 60 * 60_000;

const captured = z.object({ status: z.literal('captured') });
const refunded = z.object({ status: z.literal('refunded') });
const problem = z.object({ code: z.string().min(1).max(200) });

/** The payment provider over HTTP. A key is executed once there, so whatever is uncertain is asked again under it. */
export function httpPayments(url: () => string): Payments {
  return {
    capture: async ({ idempotencyKey, paymentId, customerId, amountMinor, currency }, { signal }) => {
      const body = { paymentId, customerId, amountMinor, currency };
      const answer = await post(new URL('/captures', url()), idempotencyKey, body, signal);
      if (answer.status === 402) return { outcome: 'declined', reason: inShape(problem, answer).code };
      inShape(captured, answer);
      return { outcome: 'captured' };
    },
    refund: async ({ idempotencyKey, paymentId, amountMinor, currency }, { signal }) => {
      const answer = await post(
        new URL('/refunds', url()),
        idempotencyKey,
        { paymentId, amountMinor, currency },
        signal,
      );
      if (answer.status === 402) return { outcome: 'declined', reason: inShape(problem, answer).code };
      inShape(refunded, answer);
      return { outcome: 'refunded' };
    },
  };
}

interface Answered {
  readonly status: number;
  readonly text: string;
}

/** 200 and 402 are answers; all else is thrown. */
async function post(url: URL, key: string, body: unknown, signal: AbortSignal): Promise<Answered> {
  const { status, headers, text } = await exchange(url, key, JSON.stringify(body), signal);
  if (status === 200 || status === 402) return { status, text };
  const answered = `the payment provider answered ${status}`;
  if (status === 400 || status === 422) throw new GiveUp(`${answered}: ${codeIn(text)}`);
  const afterMs = status === 429 || status === 503 ? retryAfterMs(headers.get('retry-after'), Date.now()) : null;
  if (afterMs !== null) throw new RetryLater(answered, afterMs);
  throw new Error(answered);
}

async function exchange(url: URL, key: string, body: string, signal: AbortSignal) {
  const timeout = AbortSignal.timeout(CALL_MS_MAX);
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
      body,
      redirect: 'error',
      signal: AbortSignal.any([signal, timeout]),
    });
    return { status: response.status, headers: response.headers, text: await response.text() };
  } catch (error) {
    signal.throwIfAborted(); // it is we who stop, not the provider that fails
    const why = timeout.aborted ? `not within ${CALL_MS_MAX} ms` : 'the connection broke';
    throw new Error(`no answer from the payment provider: ${why}`, { cause: error });
  }
}

/** Whole seconds, or an HTTP date (RFC 9110, 10.2.3); null for what is neither. Not longer than an hour. */
export function retryAfterMs(value: string | null, now: number): number | null {
  if (value === null) return null;
  const ms = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - now;
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), RETRY_AFTER_MS_MAX);
}

function inShape<Shape>(shape: z.ZodType<Shape>, { status, text }: Answered): Shape {
  const parsed = shape.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new Error(`the payment provider answered ${status} with a body that is none`);
}

const codeIn = (text: string): string => problem.safeParse(parseJson(text)).data?.code ?? 'no code';

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
