/** A search that cannot be carried out as asked: its message says why. */
export class InvalidSearch extends Error {
  override readonly name = 'InvalidSearch';
}

export interface SearchOptions {
  /** The projection to search; needed when several declare a search. */
  readonly in?: string;
  /** Only what is written in this language; a text search configuration that the projection lists. */
  readonly language?: string;
  /** Hits at most: 1 to 100. Default 20. */
  readonly limit?: number;
  /** Hits to pass over: 0 to 10,000. Default 0. */
  readonly offset?: number;
}

/** A text as PostgreSQL is asked for it. */
export interface Terms {
  /** All words but the last; each must match as a word. */
  readonly words: string;
  /** The last, which may still be being typed: matches as a word, or as the beginning of one. */
  readonly last: string;
  /** The last as a tsquery of prefixes. */
  readonly prefix: string;
}

const TEXT_CHARS_MAX = 500;
const LIMIT_DEFAULT = 20;
const LIMIT_MAX = 100;
const OFFSET_MAX = 10_000;

/** Splits a text for a search, or null when there is no word in it. */
export function toTerms(text: string): Terms | null {
  if (text.length > TEXT_CHARS_MAX) {
    throw new InvalidSearch(`a search text has at most ${TEXT_CHARS_MAX} characters, this one ${text.length}`);
  }
  const parts = text.split(BETWEEN_WORDS).filter((part) => HAS_WORD.test(part));
  const last = parts.pop();
  if (last === undefined) return null;
  // Of letters, marks and digits alone, quoted: nothing in it can be read as an operator.
  const prefix = [...last.matchAll(WORDS)].map(([word]) => `'${word}':*`).join(' & ');
  return { words: parts.join(' '), last, prefix };
}

// NUL, which PostgreSQL's text cannot hold, separates words like any other control character.

const BETWEEN_WORDS = /[\s\u0000-\u001f\u007f]+/u;
const WORDS = /[\p{L}\p{N}\p{M}]+/gu;
const HAS_WORD = /[\p{L}\p{N}]/u;

/** Checked bounds of the page of hits asked for. */
export function toPage({ limit = LIMIT_DEFAULT, offset = 0 }: SearchOptions): { limit: number; offset: number } {
  checkWhole('limit', limit, { min: 1, max: LIMIT_MAX });
  checkWhole('offset', offset, { min: 0, max: OFFSET_MAX });
  return { limit, offset };
}

function checkWhole(name: string, value: number, { min, max }: { readonly min: number; readonly max: number }): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new InvalidSearch(`${name} is a whole number from ${min} to ${max}, not ${value}`);
}
