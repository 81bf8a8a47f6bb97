import { createConnection } from 'node:net';
import { createTransport } from 'nodemailer';
import { outsideDir, startOutside, type Outside } from '../../test/support/outside';
import { until } from '../../test/support/until';

const folder = outsideDir();
let sink: Outside;

beforeAll(async () => {
  sink = await startOutside('mail-sink', folder.dir);
});
afterAll(async () => {
  await sink.child.kill();
  folder.remove();
});

const letter = { from: 'shop@example.com', to: 'VINET@example.com', subject: 'Your order', text: 'Grüße\n.\n..two' };
const of = (key: string) => sink.journal().filter((entry) => entry.key === key);

test('mail is taken, and recognised by its Message-ID, also after a restart', async () => {
  const send = () => createTransport(sink.address).sendMail({ ...letter, messageId: '<m1@reprise>' });
  await send();
  await send();
  await sink.child.kill();
  sink = await startOutside('mail-sink', folder.dir);
  await send();
  expect(of('<m1@reprise>')).toMatchObject([
    { call: 'mail', outcome: 'executed', to: ['VINET@example.com'], subject: 'Your order' },
    { outcome: 'repeat' },
    { outcome: 'repeat' },
  ]);
  // Though the Date of each differs.
  expect(new Set(of('<m1@reprise>').map(({ bodyHash }) => bodyHash)).size).toBe(1);
});

test('a mail of other words has another hash', async () => {
  const transport = createTransport(sink.address);
  await transport.sendMail({ ...letter, messageId: '<m2@reprise>' });
  await transport.sendMail({ ...letter, text: 'other', messageId: '<m3@reprise>' });
  expect(of('<m2@reprise>')[0]?.bodyHash).not.toBe(of('<m3@reprise>')[0]?.bodyHash);
});

test('too much, and mail that nothing tells apart, is refused', async () => {
  const transport = createTransport(sink.address);
  const large = { ...letter, text: 'x'.repeat(1_100_000), messageId: '<m4@reprise>' };
  await expect(transport.sendMail(large)).rejects.toThrow(/552|exceeds/);
  const said = await converse([
    'HELO me',
    'MAIL FROM:<a@example.com>',
    'RCPT TO:<b@example.com>',
    'DATA',
    'Subject: x',
    '',
    'hi',
    '.',
    'QUIT',
  ]);
  expect(said).toEqual(['220', '250', '250', '250', '354', '550', '221']);
  expect(of('<m4@reprise>')).toEqual([]);
});

test('commands out of turn are said to be, and a reset begins anew', async () => {
  const said = await converse(
    [
      'EHLO me',
      'RCPT TO:<b@example.com>',
      'DATA',
      'MAIL FROM:a',
      'MAIL FROM:<>',
      'RSET',
      'RCPT TO:<b@example.com>',
    ].concat(['NOOP', 'VRFY x', 'QUIT']),
  );
  expect(said).toEqual(['220', '250-', '250', '503', '503', '501', '250', '250', '503', '250', '502', '221']);
});

/** Says these lines all at once, and answers the codes that came back. */
async function converse(lines: readonly string[]): Promise<string[]> {
  const socket = createConnection(Number(new URL(sink.address).port), '127.0.0.1');
  let heard = '';
  socket.on('data', (chunk) => (heard += chunk.toString()));
  socket.write(lines.map((line) => `${line}\r\n`).join(''));
  await until(() => socket.closed || heard.includes('221 '), { what: 'it says good-bye' });
  socket.destroy();
  return heard
    .trim()
    .split('\r\n')
    .map((line) => (line[3] === '-' ? line.slice(0, 4) : line.slice(0, 3)));
}
