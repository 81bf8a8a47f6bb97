/** Exit codes: 0 done, 1 the run failed, 2 the call was wrong. */
export type ExitCode = 1 | 2;

/** An error for the person at the terminal: what happened, where, why likely, and what to do. Printed without a stack. */
export class CliFailure extends Error {
  override readonly name = 'CliFailure';

  constructor(
    readonly code: string,
    message: string,
    /** One line that says what to do next. */
    readonly next?: string,
    readonly exitCode: ExitCode = 1,
  ) {
    super(message);
  }
}

interface NodeError extends Error {
  readonly code?: string;
  readonly details?: string;
}

/** Known trouble in the words of its cure; anything else keeps its own sentence. Never SQL text, never a secret. */
export function toFailure(error: unknown): CliFailure {
  if (error instanceof CliFailure) return error;
  if (error instanceof AggregateError && error.errors.length > 0) return toFailure(error.errors[0]);
  const {
    code = '',
    message,
    name,
  } = error instanceof Error ? (error as NodeError) : (new Error(String(error)) as NodeError);
  if (
    code === 'ECONNREFUSED' ||
    code === 'ENOTFOUND' ||
    /ECONNREFUSED|failed to connect|Failed to call|connect error/i.test(message)
  ) {
    return new CliFailure(
      'unreachable',
      firstLine(message).replace(TONIC, 'Temporal does not answer at $1'),
      "Is it running? 'reprise start' brings everything up; else check DATABASE_URL and TEMPORAL_ADDRESS.",
    );
  }
  if (code === '28P01' || code === '28000') {
    return new CliFailure(
      'login_refused',
      `PostgreSQL refused the login: ${firstLine(message)}`,
      'Check user and password in DATABASE_URL (or DATABASE_URL_COMMIT, _PROJECT, _READ).',
    );
  }
  if (code === '3D000')
    return new CliFailure('no_database', firstLine(message), 'Create the database, or correct DATABASE_URL.');
  if (code === '42P01' || code === '3F000') {
    return new CliFailure('not_migrated', 'The database has no Reprise tables.', "Run 'reprise migrate'.");
  }
  if (code === '42501') {
    return new CliFailure(
      'not_allowed',
      firstLine(message),
      'This login lacks a grant: use the role made for it (see DESIGN: roles), or run migrate as the owner.',
    );
  }
  if (/namespace.*not found/i.test(message)) {
    return new CliFailure(
      'no_namespace',
      firstLine(message),
      "Create it: 'temporal operator namespace create <name>', or correct TEMPORAL_NAMESPACE.",
    );
  }
  return new CliFailure(CODES.get(name) ?? 'failed', firstLine(message));
}

// Of our own errors, by name: what scripts may rely on. A foreign one's name would change with a library.
const CODES: ReadonlyMap<string, string> = new Map([
  ['BehindCode', 'behind_code'],
  ['InUse', 'in_use'],
  ['InvalidCommand', 'command_invalid'],
  ['InvalidSearch', 'search_invalid'],
  ['NotAllowedToCreateRoles', 'not_allowed'],
  ['PostUnknown', 'post_unknown'],
  ['ProcessesRefused', 'processes_refused'],
  ['SchemaMismatch', 'schema_mismatch'],
  ['SinkUnavailable', 'sink_unavailable'],
  ['WrongDatabase', 'wrong_database'],
]);

// The SDK's native client: tonic::transport::Error(Transport, ConnectError(ConnectError("tcp connect error", 127.0.0.1:1, …
const TONIC = /^tonic::transport.*?"tcp connect error", ([^,]+),.*$/;

const firstLine = (message: string): string => message.split('\n')[0] ?? message;
