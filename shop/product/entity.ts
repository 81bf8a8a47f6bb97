import type { EventData } from '../../contracts/event';
import { entity } from '../../model/entity';
import { refuse } from '../../model/refusal';
import { pagePublished, pageRevised, pageWithdrawn, publishPage, revisePage, withdrawPage } from './contract';
import { refusals } from './refusals';

type Content = EventData<typeof pagePublished>;

export type Product =
  | { readonly status: 'new' }
  | { readonly status: 'published'; readonly content: Content }
  | { readonly status: 'withdrawn'; readonly reason: string };

/** A product's page: what the shop says of it. */
export const product = entity('product', {
  version: 1,
  commands: [publishPage, revisePage, withdrawPage],
  events: [pagePublished, pageRevised, pageWithdrawn],
  refusals,
  initial: { status: 'new' } as Product,

  decide: {
    'publish-page': (state, data) =>
      state.status === 'published' ? refuse('product.already_published') : [pagePublished(data)],
    'revise-page': (state, data) => {
      if (state.status !== 'published') return refuse('product.not_published');
      return isSame(state.content, data) ? [] : [pageRevised(data)];
    },
    'withdraw-page': (state, data) =>
      state.status === 'published' ? [pageWithdrawn(data)] : refuse('product.not_published'),
  },

  evolve: {
    'page.published': (_state, content): Product => ({ status: 'published', content }),
    'page.revised': (_state, content): Product => ({ status: 'published', content }),
    'page.withdrawn': (_state, { reason }): Product => ({ status: 'withdrawn', reason }),
  },

  // A withdrawn page may be published again: its next command opens the workflow again.
  isFinal: (state) => state.status === 'withdrawn',
});

const isSame = (one: Content, other: Content): boolean =>
  one.title === other.title &&
  one.body === other.body &&
  one.language === other.language &&
  one.tags.length === other.tags.length &&
  one.tags.every((tag, nth) => tag === other.tags[nth]);
