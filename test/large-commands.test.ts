import { z } from 'zod';
import { command } from '../contracts/command';
import { event } from '../contracts/event';
import { entity } from '../model/entity';
import { model } from '../model/model';
import { TestSystem } from './support/system';

const written = event('document.written', { data: z.object({ text: z.string() }) });
const write = command('write', { data: z.object({ text: z.string() }) });
const documents = model({
  entities: [
    entity('document', {
      version: 1,
      commands: [write],
      events: [written],
      refusals: {},
      initial: { characters: 0 },
      decide: { write: (_state, { text }) => [written({ text })] },
      evolve: { 'document.written': ({ characters }, { text }) => ({ characters: characters + text.length }) },
    }),
  ],
});

// One command may have 1.5 MB. Joined up to 256, the bound of a batch in commands, these would be 60 to 300 MB.
const TEXT = 'x'.repeat(400_000);

test('large commands at once, on one entity and on many, all commit', async () => {
  const system = await TestSystem.open(documents);
  await system.startEntityWorker();
  const clients = await Promise.all([1, 2, 3, 4].map(() => system.client()));
  const answers = await Promise.all(
    clients.flatMap((client, of) => [
      ...Array.from({ length: 8 }, () => client.document('one').send(write({ text: TEXT }), { deadline: 100_000 })),
      ...Array.from({ length: 8 }, (_, n) =>
        client.document(`${of}-${n}`).send(write({ text: TEXT }), { deadline: 100_000 }),
      ),
      client.document(`${of}-largest`).send(write({ text: 'x'.repeat(1_499_000) }), { deadline: 100_000 }),
    ]),
  );
  expect(answers.map(({ outcome }) => outcome)).toEqual(answers.map(() => 'accepted'));
  expect(await clients[0]?.document('one').state()).toMatchObject({ version: 32, state: { characters: 12_800_000 } });
  await system.close();
}, 120_000);
