import type { Client } from '@temporalio/client';
import { model } from '../shop/model';
import { order } from '../shop/order/entity';
import { addNote } from '../shop/order/contract';
import { Coalescer } from './coalescer';
import { deliverPosts, type DeliverPorts } from './deliver';
import { makeEntityHandle, type HandlePorts, type QueuedCommand } from './entity-handle';
import { OpenWorkflows } from './open-workflows';
import { InvalidCommand, PostUnknown } from './send-result';

const note = addNote({ text: 'x' });

function handle(send: (posts: readonly QueuedCommand[]) => Promise<true[]>) {
  const bounds = { bytesOf: () => 1, itemsMax: 10, bytesMax: 100 };
  const posts = new Coalescer<QueuedCommand, true>({ ...bounds, send: (_key, queued) => send(queued) });
  return makeEntityHandle({ model, idPrefix: '', posts } as unknown as HandlePorts, order, '1');
}
const failure = (promise: Promise<unknown>) => promise.then(() => null).catch((error: unknown) => error);

test('a post that is not taken by its deadline says so, with its id; so does one that waits behind it', async () => {
  const sent: string[] = [];
  const entity = handle((queued) => {
    sent.push(...queued.map(({ message }) => message.commandId));
    return new Promise(() => undefined);
  });
  const first = failure(entity.post(note, { commandId: 'a', deadline: 60 }));
  await new Promise((resolve) => setTimeout(resolve, 20));
  const second = failure(entity.post(note, { commandId: 'b', deadline: 30 }));
  expect(await Promise.all([first, second])).toEqual([expect.any(PostUnknown), expect.any(PostUnknown)]);
  expect(await first).toMatchObject({ commandId: 'a', message: expect.stringMatching(/same commandId/) as string });
  expect(await second).toMatchObject({ commandId: 'b' });
  expect(sent).toEqual(['a']);
});

test('a post that fails names its id, also one that was made up, and keeps the cause', async () => {
  const cause = new Error('14 UNAVAILABLE');
  const entity = handle(() => Promise.reject(cause));
  expect(await failure(entity.post(note))).toMatchObject({
    name: 'PostUnknown',
    commandId: expect.any(String) as string,
    cause,
  });
  expect(await failure(entity.post({ ...note, data: {} } as never))).toBeInstanceOf(InvalidCommand);
});

const grpc = (code: number, details: string) =>
  new Error('Failed to signalWithStart Workflow', {
    cause: Object.assign(new Error(details), { code, details, metadata: {} }),
  });

function delivery(failures: Error[]) {
  let calls = 0;
  const signalWithStart = () => (
    ++calls,
    failures[calls - 1] ? Promise.reject(failures[calls - 1]!) : Promise.resolve()
  );
  const withDeadline = (_deadline: number, run: () => Promise<void>) => run();
  const temporal = { withDeadline, workflow: { signalWithStart } } as unknown as Client;
  const ports: DeliverPorts = {
    ...{ temporal, open: new OpenWorkflows(), taskQueue: 'q', idPrefix: '', searchAttributes: false },
  };
  return { post: (withinMs: number) => deliverPosts(ports, 'order/1', [], Date.now() + withinMs), calls: () => calls };
}

test('what passes is tried again: a lost connection, a run that has taken as many signals as one may', async () => {
  const limit = grpc(3, 'exceeded workflow execution limit for signal events');
  const { post, calls } = delivery([limit, grpc(14, 'connection lost')]);
  await post(5_000);
  expect(calls()).toBe(3);
});
test('what does not pass is not, and nothing is tried past the deadline', async () => {
  const denied = delivery([grpc(7, 'denied')]);
  await expect(denied.post(5_000)).rejects.toThrow();
  expect(denied.calls()).toBe(1);
  const late = delivery([grpc(14, 'away')]);
  await expect(late.post(10)).rejects.toThrow();
  expect(late.calls()).toBe(1);
});

test.each<[string, unknown]>([
  ['null', null],
  ['waitFor that is text', { waitFor: 'order_summary' }],
  ['waitFor of nothing that exists', { waitFor: ['order_summry'] }],
  ['waitFor of a number', { waitFor: [1] }],
  ['a deadline that is text', { deadline: '5' }],
])('options that are %s: nothing is sent', async (_what, options) => {
  const entity = handle(() => Promise.resolve([true]));
  expect(await failure(entity.send(note, options as never))).toBeInstanceOf(InvalidCommand);
});
