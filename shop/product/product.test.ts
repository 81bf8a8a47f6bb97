import type { EventData } from '../../contracts/event';
import { given } from '../../testing/entity-spec';
import { project, recorded } from '../../testing/projection-spec';
import { pagePublished, pageRevised, pageWithdrawn, publishPage, revisePage, withdrawPage } from './contract';
import { product } from './entity';
import { productSearch } from './projections';

type Content = EventData<typeof pagePublished>;

const chai: Content = { title: 'Chai', body: 'A spiced tea.', tags: ['tea'], language: 'english' };
const better: Content = { ...chai, body: 'A spiced tea from India.' };
const withdrawn = pageWithdrawn({ reason: 'sold out' });

test('a page is published once, until it is withdrawn', () => {
  given(product, [])
    .when(publishPage(chai))
    .thenEvents([pagePublished(chai)]);
  given(product, [pagePublished(chai)])
    .when(publishPage(better))
    .thenRefused('product.already_published');
  given(product, [pagePublished(chai), withdrawn])
    .when(publishPage(better))
    .thenEvents([pagePublished(better)]);
});

test('only a published page is revised or withdrawn', () => {
  for (const before of [[], [pagePublished(chai), withdrawn]]) {
    given(product, before).when(revisePage(better)).thenRefused('product.not_published');
    given(product, before)
      .when(withdrawPage({ reason: 'sold out' }))
      .thenRefused('product.not_published');
  }
  given(product, [pagePublished(chai)])
    .when(withdrawPage({ reason: 'sold out' }))
    .thenEvents([withdrawn]);
});

test('a revision that changes nothing is no event', () => {
  given(product, [pagePublished(chai)])
    .when(revisePage(chai))
    .thenEvents([]);
  given(product, [pagePublished(chai), pageRevised(better)])
    .when(revisePage(chai))
    .thenEvents([pageRevised(chai)]);
  for (const other of [{ tags: ['tea', 'hot'] }, { tags: ['hot'] }, { language: 'german' as const }, { title: 'C' }]) {
    given(product, [pagePublished(chai)])
      .when(revisePage({ ...chai, ...other }))
      .thenEvents([pageRevised({ ...chai, ...other })]);
  }
});

test('tags and language have defaults, title and body have bounds', () => {
  const { shape } = publishPage.schema;
  expect(publishPage.schema.parse({ title: 'Chai', body: '' })).toEqual({
    title: 'Chai',
    body: '',
    tags: [],
    language: 'english',
  });
  expect(shape.title.safeParse('').success).toBe(false);
  expect(shape.title.safeParse('x'.repeat(201)).success).toBe(false);
  expect(shape.body.safeParse('x'.repeat(20_000)).success).toBe(true);
  expect(shape.body.safeParse('x'.repeat(20_001)).success).toBe(false);
  expect(shape.language.safeParse('klingon').success).toBe(false);
});

const told = (...events: Parameters<typeof recorded>[1]) => recorded({ entityType: 'product', entityId: '1' }, events);

test('a row is the page as it is now, told once or twice', () => {
  for (const deliveries of [1, 2]) {
    project(productSearch, told(pagePublished(chai), pageRevised(better)), { deliveries }).thenRows([
      {
        productId: '1',
        ...better,
        publishedAt: '2026-01-01T00:01:00.000Z',
        revisedAt: '2026-01-01T00:02:00.000Z',
        version: 2,
      },
    ]);
  }
});

test('a withdrawn page has no row, and a page published again begins anew', () => {
  for (const deliveries of [1, 2]) {
    const gone = told(pagePublished(chai), pageRevised(better), withdrawn);
    project(productSearch, gone, { deliveries }).thenRows([]);
    const again = told(pagePublished(chai), pageRevised(better), withdrawn, pagePublished(chai));
    project(productSearch, again, { deliveries }).thenRows([
      { productId: '1', ...chai, publishedAt: '2026-01-01T00:04:00.000Z', revisedAt: null, version: 4 },
    ]);
  }
});
