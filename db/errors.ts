import { DatabaseError } from 'pg';

/** What a failed statement means for whoever sent it. */
export type DatabaseErrorKind = 'moved' | 'passing' | 'data' | 'bug';

// SQLSTATEs (PostgreSQL appendix A) and classes, each with what it stands for here.
const MOVED = 'RP001'; // raised by reprise.commit
const LOCK_TIMEOUT = '55P03';
const DEADLOCK = '40P01';
const PASSING = new Set([DEADLOCK, '40001', LOCK_TIMEOUT, '57P01', '57P02', '57P03', '25P03', '25P02']);
const PASSING_CLASSES = ['08', '53'];
const DATA_CLASSES = ['22', '54'];
const CHECK_VIOLATION = '23514';
const NOT_NULL_VIOLATION = '23502';
const UNIQUE_VIOLATION = '23505';
// Data, constraints, limits, and what a function or trigger raises. Of the rest (a missing table, a missing grant, a
// damaged page) no event is to blame.
const CLASSES_OF_WHAT_WAS_WRITTEN = new Set(['21', '22', '23', '44', '54', 'P0']);

const CONNECTION_CODES = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN']);
const CONNECTION_MESSAGES =
  /Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client has encountered a connection error|Client was closed/;

/** A lock was not had within the time allowed. */
export const isLockTimeout = (error: unknown): boolean => (error as { code?: unknown } | null)?.code === LOCK_TIMEOUT;

/** That, or a deadlock: it was rolled back, and may be tried again as it is. */
export const isLockTrouble = (error: unknown): boolean =>
  isLockTimeout(error) || (error as { code?: unknown } | null)?.code === DEADLOCK;

/** Tells a lost race from passing trouble, from data that PostgreSQL refuses, from a bug. The only place that does. */
export function kindOf(error: unknown): DatabaseErrorKind {
  if (!(error instanceof Error)) return 'bug';
  const { code, constraint } = error as { code?: unknown; constraint?: unknown };
  if (typeof code !== 'string') return CONNECTION_MESSAGES.test(error.message) ? 'passing' : 'bug';
  if (code === MOVED || (code === UNIQUE_VIOLATION && constraint === 'entities_pkey')) return 'moved';
  if (PASSING.has(code) || CONNECTION_CODES.has(code)) return 'passing';
  if (PASSING_CLASSES.some((family) => code.startsWith(family) && code.length === 5)) return 'passing';
  if (code === CHECK_VIOLATION || code === NOT_NULL_VIOLATION) return 'data';
  return DATA_CLASSES.some((family) => code.startsWith(family) && code.length === 5) ? 'data' : 'bug';
}

/** Whether what was to be written is to blame, or the code that made it: another try, another process meets it again. */
export function isOfItsInput(error: unknown): boolean {
  const kind = kindOf(error);
  if (kind === 'passing' || kind === 'moved') return false;
  // An error that merely carries a code (ERR_INVALID_URL, an application's own) is not PostgreSQL's.
  return !(error instanceof DatabaseError) || CLASSES_OF_WHAT_WAS_WRITTEN.has(error.code?.slice(0, 2) ?? '');
}
