import { createServer, type Socket } from 'node:net';
import { hashOf, journalFile, openJournal, type JournalEntry } from './journal';
import { parseMail, type Mail } from './mail';
import { runService } from './process';

// Takes mail by SMTP and keeps it from everybody: for the demo and for tests. What it recognises by its Message-ID is a
// repeat, as a mail provider would drop it.

interface MailEntry extends JournalEntry {
  readonly call: 'mail';
  readonly to: readonly string[];
  readonly subject: string;
}

const MAIL_BYTES_MAX = 1_048_576;
const LINE_CHARS_MAX = 4_096;

const journal = openJournal<MailEntry>(journalFile('mail-sink', process.env));
const known = new Set(journal.entries.map(({ key }) => key));
const sockets = new Set<Socket>();

const server = createServer((socket) => {
  sockets.add(socket);
  socket.once('close', () => sockets.delete(socket));
  socket.on('error', () => socket.destroy());
  converse(socket);
});
runService({
  name: 'mail-sink',
  server,
  scheme: 'smtp',
  variable: 'SMTP_URL',
  close: () => sockets.forEach((socket) => socket.destroy()),
});

interface Transaction {
  from: string | null;
  to: string[];
  /** The lines of the mail so far; null outside of DATA. */
  lines: string[] | null;
  bytes: number;
}

/** One SMTP session (RFC 5321): what a client says line by line, and what it is answered. */
function converse(socket: Socket): void {
  const say = (line: string) => socket.write(`${line}\r\n`);
  let transaction = begin();
  let rest = '';

  socket.setEncoding('latin1'); // a byte a character: what comes in is hashed as it came
  say('220 reprise mail sink: nothing leaves');
  socket.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\r\n');
    rest = lines.pop() ?? '';
    if (rest.length > LINE_CHARS_MAX) socket.destroy();
    for (const line of lines) {
      if (transaction.lines) takeDataLine(line);
      else takeCommand(line);
    }
  });

  function takeCommand(line: string): void {
    const verb = line.slice(0, 4).toUpperCase();
    const path = /^(?:MAIL FROM|RCPT TO): *<([^<>]*)>/i.exec(line)?.[1];
    if (verb === 'EHLO') say(`250-reprise\r\n250 SIZE ${MAIL_BYTES_MAX}`);
    else if (verb === 'HELO' || verb === 'NOOP') say('250 OK');
    else if (verb === 'RSET') reset('250 OK');
    else if (verb === 'QUIT') socket.end('221 Bye\r\n');
    else if (verb === 'MAIL' && path !== undefined) {
      transaction = { ...begin(), from: path };
      say('250 OK');
    } else if (verb === 'RCPT' && path) {
      if (transaction.from === null) return void say('503 MAIL first');
      transaction.to.push(path);
      say('250 OK');
    } else if (verb === 'DATA') {
      if (transaction.to.length === 0) return void say('503 RCPT first');
      transaction.lines = [];
      say('354 Go on; a line with nothing but a dot ends it');
    } else say(verb === 'MAIL' || verb === 'RCPT' ? '501 An address in angle brackets' : '502 Not here');
  }

  function takeDataLine(line: string): void {
    const { lines, to } = transaction;
    if (!lines) return;
    if (line === '.') return reset(transaction.bytes > MAIL_BYTES_MAX ? '552 Too large' : accept(to, lines));
    transaction.bytes += line.length + 2;
    if (transaction.bytes <= MAIL_BYTES_MAX) lines.push(line.startsWith('.') ? line.slice(1) : line);
  }

  function reset(answer: string): void {
    transaction = begin();
    say(answer);
  }
}

const begin = (): Transaction => ({ from: null, to: [], lines: null, bytes: 0 });

function accept(to: readonly string[], lines: readonly string[]): string {
  const mail = parseMail(lines);
  if (!mail.messageId) return '550 A Message-ID is needed: a repeat is recognised by it';
  const outcome = known.has(mail.messageId) ? 'repeat' : 'executed';
  try {
    journal.append(entryOf(mail, mail.messageId, to, outcome));
  } catch {
    return '451 The journal cannot be written';
  }
  known.add(mail.messageId);
  return outcome === 'repeat' ? '250 Known already' : '250 Taken';
}

// Not of the whole mail: each sending has a Date of its own.
const entryOf = (
  { subject, body }: Mail,
  key: string,
  to: readonly string[],
  outcome: JournalEntry['outcome'],
): MailEntry => ({
  at: new Date().toISOString(),
  call: 'mail',
  key,
  bodyHash: hashOf({ to, subject, body }),
  outcome,
  to,
  subject,
});
