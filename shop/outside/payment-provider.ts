import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { hashOf, journalFile, openJournal } from './journal';
import { runService } from './process';
import {
  CALL_OF,
  decide,
  parseBody,
  problem,
  readBehaviour,
  type Answer,
  type Call,
  type CallName,
  type ProviderEntry,
} from './provider-verdict';

// A small payment provider, for the demo and for tests. It executes an idempotency key once, and keeps every call in a
// journal before it answers: what a caller did not hear of has happened nevertheless, as with a real one.
// A customer's id says how it goes: DECLINED-…, SLOW-…, NEVER-… (no answer, nothing done), LATE-… (done, and answered
// after the order's deadline).

const BODY_BYTES_MAX = 65_536;
const KEY_CHARS_MAX = 500;
// Beyond it a timer fires at once.
const TIMER_MS_MAX = 2 ** 31 - 1;

const behaviour = readBehaviour(process.env);
const journal = openJournal<ProviderEntry>(journalFile('payment-provider', process.env));
const decided = new Map<string, ProviderEntry>();
const attempts = new Map<string, number>();
const balances = new Map<string, number>();
journal.entries.forEach(remember);

const server = createServer((request, response) => {
  void answer(request)
    .catch(() => problem(500, 'internal_error'))
    .then((reply) => (reply ? send(response, reply) : undefined)); // else the connection stays open
});
runService({
  name: 'payment-provider',
  server,
  scheme: 'http',
  variable: 'PAYMENT_PROVIDER_URL',
  close: () => server.closeAllConnections(),
});

/** What is answered, when it is time to; null when never. */
async function answer(request: IncomingMessage): Promise<Answer | null> {
  const { method, url = '' } = request;
  if (url === '/health') return { status: 200, body: '{"status":"up"}' };
  const name = Object.hasOwn(CALL_OF, url) ? CALL_OF[url] : undefined;
  if (!name) return problem(404, 'not_found');
  if (method !== 'POST') return problem(405, 'method_not_allowed', { allow: 'POST' });
  const call = await readCall(name, request);
  return 'status' in call ? call : take(call);
}

async function readCall(name: CallName, request: IncomingMessage): Promise<Call | Answer> {
  const key = request.headers['idempotency-key'];
  if (typeof key !== 'string' || key === '' || key.length > KEY_CHARS_MAX) return problem(400, 'no_idempotency_key');
  const text = await readText(request);
  if (text === null) return problem(413, 'too_large');
  const body = parseJson(text);
  const asked = parseBody(name, body);
  return asked ? { call: name, key, bodyHash: hashOf(body), ...asked } : problem(400, 'invalid_body');
}

async function take(call: Call): Promise<Answer | null> {
  const now = Date.now();
  const circumstances = {
    known: decided.get(call.key),
    attempt: (attempts.get(call.key) ?? 0) + 1,
    balanceMinor: balances.get(call.paymentId) ?? 0,
    now,
  };
  const { outcome, answer: remembered, reply, replyAt } = decide(call, circumstances, behaviour);
  const { call: name, key, bodyHash, paymentId, customerId, amountMinor, currency } = call;
  const what = { paymentId, customerId, amountMinor, currency, answer: remembered };
  const entry: ProviderEntry = { at: new Date(now).toISOString(), call: name, key, bodyHash, outcome, ...what };
  journal.append(entry);
  remember(entry);
  if (reply && replyAt > now)
    await new Promise((resolve) => setTimeout(resolve, Math.min(replyAt - now, TIMER_MS_MAX)));
  return reply;
}

/** No await lies between a decision and this: two calls at the same moment are two decisions, one after the other. */
function remember(entry: ProviderEntry): void {
  const { key, outcome, call, paymentId, amountMinor } = entry;
  attempts.set(key, (attempts.get(key) ?? 0) + 1);
  if (entry.answer) decided.set(key, entry);
  if (outcome !== 'executed') return;
  balances.set(paymentId, (balances.get(paymentId) ?? 0) + (call === 'capture' ? amountMinor : -amountMinor));
}

async function readText(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= BODY_BYTES_MAX) chunks.push(chunk);
  }
  return bytes > BODY_BYTES_MAX ? null : Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function send(response: ServerResponse, { status, body, headers }: Answer): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(body);
}
