/** Every "no" a product's page says. */
export const refusals = {
  'product.already_published': 'The page is published: revise it, or withdraw it first.',
  'product.not_published': 'Only a published page can be revised or withdrawn.',
} as const;
