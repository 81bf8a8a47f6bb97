import { demo } from './demo';

type Answer = { readonly outcome: string; readonly message?: string };

async function play(answerOf: (nthOfCommand: number) => Answer) {
  const sends = new Map<string, number>();
  const handle = () => ({
    send: (_command: unknown, { commandId }: { commandId: string }) => {
      sends.set(commandId, (sends.get(commandId) ?? 0) + 1);
      return Promise.resolve(answerOf(sends.get(commandId) ?? 0));
    },
  });
  const played = await demo.play({
    client: { order: handle, payment: handle, product: handle },
    played: () => Promise.resolve(new Set()),
    progress: () => undefined,
    signal: new AbortController().signal,
  });
  return { played, sends };
}

test('what is not known to have happened is sent again under the same id', async () => {
  const { played, sends } = await play((nth) => ({ outcome: nth < 3 ? 'unknown' : 'accepted', message: 'late' }));
  expect(played.commands).toBe(sends.size);
  expect(new Set(sends.values())).toEqual(new Set([3]));
});
test('what stays unknown, or is refused, ends the demo with its reason', async () => {
  await expect(play(() => ({ outcome: 'unknown', message: 'late' }))).rejects.toThrow(/was unknown: late/);
  await expect(play(() => ({ outcome: 'refused', message: 'no' }))).rejects.toThrow(/was refused: no/);
});
