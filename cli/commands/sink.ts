import { openPool } from '../../db/pool';
import { addSink, readSinkStatus, removeSink } from '../../db/sinks';
import { SINK_KINDS, type SinkKind, type SinkOptions } from '../../relay/open-sink';
import { confirm } from '../confirm';
import { findContext } from '../context';
import { CliFailure } from '../failure';
import { table, type Output } from '../output';

export async function listSinks(output: Output): Promise<void> {
  const db = openPool({ url: findContext().urlOf('read'), max: 1, applicationName: 'reprise-cli' });
  try {
    const sinks = await readSinkStatus(db);
    output.result({ sinks }, () => table(sinks));
  } finally {
    await db.end();
  }
}

const SINK_NAME = /^[a-z][a-z0-9-]{0,62}$/;
const OPTIONS: Record<SinkKind, readonly string[]> = {
  nats: ['stream', 'prefix'],
  rabbitmq: ['exchange', 'bytesMax'],
  kafka: ['prefix', 'bytesMax'],
};

export async function addSinkCommand(
  output: Output,
  [name = '']: readonly string[],
  options: Record<string, unknown>,
): Promise<void> {
  const kind = (options['kind'] ?? name) as SinkKind;
  if (!SINK_NAME.test(name)) throw usage(`'${name}' is no name for a sink`, 'Lower case letters, digits and dashes.');
  if (!Object.hasOwn(SINK_KINDS, kind)) {
    throw usage(`what kind of sink is '${name}'?`, `Say --kind ${Object.keys(SINK_KINDS).join(' | ')}`);
  }
  const parsed = parseOptions(kind, (options['option'] ?? []) as string[]);
  const db = openPool({ url: findContext().databaseUrl, max: 1, applicationName: 'reprise-cli' });
  try {
    const added = await addSink(db, { sink: name, kind, options: parsed });
    if (!added) throw new CliFailure('exists', `there is a sink '${name}' already`, "'reprise sink ls' shows it.");
    output.result({ added: name, kind, options: parsed }, () => [
      `Events committed from now on go to ${name} (${kind}). Its relay runs where ${SINK_KINDS[kind]} is set.`,
    ]);
  } finally {
    await db.end();
  }
}

export async function removeSinkCommand(
  output: Output,
  [name = '']: readonly string[],
  options: Record<string, unknown>,
): Promise<void> {
  const db = openPool({ url: findContext().databaseUrl, max: 1, applicationName: 'reprise-cli' });
  try {
    const found = (await readSinkStatus(db)).find(({ sink }) => sink === name);
    if (!found) throw new CliFailure('no_sink', `there is no sink '${name}'`, "'reprise sink ls' shows them.");
    await confirm(`Remove sink ${name}? ${found.waiting} messages that wait for it will never be published.`, options);
    const lost = (await removeSink(db, name)) ?? 0;
    output.result({ removed: name, lost }, () => [`${name} is gone, with ${lost} messages that waited for it.`]);
  } finally {
    await db.end();
  }
}

function parseOptions(kind: SinkKind, given: readonly string[]): SinkOptions {
  return Object.fromEntries(
    given.map((text): [string, string | number] => {
      const [name = '', ...rest] = text.split('=');
      const value = rest.join('=');
      if (!OPTIONS[kind].includes(name) || value === '') {
        throw usage(`--option ${text} is not one of a ${kind} sink`, `It takes: ${OPTIONS[kind].join(', ')}`);
      }
      if (name !== 'bytesMax') return [name, value];
      if (!/^[1-9]\d{0,9}$/.test(value)) throw usage(`--option ${text}: bytes are a whole number above 0`, undefined);
      return [name, Number(value)];
    }),
  );
}

const usage = (message: string, next: string | undefined): CliFailure => new CliFailure('usage', message, next, 2);
