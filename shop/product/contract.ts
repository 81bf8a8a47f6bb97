import { z } from 'zod';
import { command } from '../../contracts/command';
import { event } from '../../contracts/event';

const OWNER = 'catalog';

/** Text search configurations every PostgreSQL has, by their names there. `simple` is for any other language. */
export const LANGUAGES = [
  'english',
  'german',
  'french',
  'spanish',
  'italian',
  'dutch',
  'portuguese',
  'danish',
  'swedish',
  'norwegian',
  'finnish',
  'simple',
] as const;

const language = z.enum(LANGUAGES);
const title = z.string().min(1).max(200);
const body = z.string().max(20_000);
const tags = z.array(z.string().min(1).max(100)).max(20);

const content = z.strictObject({ title, body, tags, language });
const written = z.strictObject({ title, body, tags: tags.default([]), language: language.default('english') });

export const pagePublished = event('page.published', {
  data: content,
  owner: OWNER,
  description: "A product's page can be read and found.",
});
export const pageRevised = event('page.revised', {
  data: content,
  owner: OWNER,
  description: 'Its content was replaced as a whole.',
});
export const pageWithdrawn = event('page.withdrawn', {
  data: z.strictObject({ reason: z.string().min(1).max(1_000) }),
  owner: OWNER,
  description: 'It can no longer be read or found.',
});

export const publishPage = command('publish-page', { data: written, owner: OWNER });
/** Takes the whole content: what is left out falls back to its default, not to what it was. */
export const revisePage = command('revise-page', { data: written, owner: OWNER });
export const withdrawPage = command('withdraw-page', {
  data: z.strictObject({ reason: z.string().min(1).max(1_000) }),
  owner: OWNER,
});
