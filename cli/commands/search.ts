import { search } from '../../client/search';
import { InvalidSearch, type SearchOptions } from '../../client/search-query';
import { openPool } from '../../db/pool';
import { findContext, loadModel } from '../context';
import { CliFailure } from '../failure';
import { table, type Output } from '../output';

/** Searches a read model; needs PostgreSQL only. */
export async function searchCommand(
  output: Output,
  words: readonly string[],
  options: Record<string, unknown>,
): Promise<void> {
  const context = findContext();
  const model = loadModel(context.project);
  const db = openPool({ url: context.urlOf('read'), max: 1, applicationName: 'reprise-cli' });
  try {
    const hits = await search(db, model, words.join(' '), toOptions(options)).catch(asWrongCall);
    output.result({ hits }, () =>
      table(hits.map(({ key, rank, highlights }) => ({ key, rank: Number(rank.toFixed(3)), ...toPlain(highlights) }))),
    );
  } finally {
    await db.end();
  }
}

function toOptions({ in: projection, language, limit }: Record<string, unknown>): SearchOptions {
  return {
    ...(typeof projection === 'string' ? { in: projection } : {}),
    ...(typeof language === 'string' ? { language } : {}),
    ...(limit === undefined ? {} : { limit: Number(limit) }),
  };
}

function asWrongCall(error: unknown): never {
  throw error instanceof InvalidSearch ? new CliFailure('usage', error.message, undefined, 2) : error;
}

const CELL_CHARS_MAX = 80;

/** Highlights as a terminal shows them: found words between asterisks, one line each. */
function toPlain(highlights: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(highlights).map(([name, html]) => [name, cut(toText(html))]));
}

// What the client escapes is turned back, ampersands last; control characters would move a terminal's cursor.
const toText = (html: string): string =>
  html
    .replace(/<\/?mark>/g, '*')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')
    .replace(/[\s\p{Cc}]+/gu, ' ');

function cut(text: string): string {
  const characters = [...text];
  return characters.length > CELL_CHARS_MAX ? `${characters.slice(0, CELL_CHARS_MAX - 1).join('')}…` : text;
}
