import fc from 'fast-check';
import { InvalidSearch, toPage, toTerms } from './search-query';

test('the last word is also a beginning, the others are words', () => {
  expect(toTerms("Chef Anton's  caj")).toEqual({ words: "Chef Anton's", last: 'caj', prefix: "'caj':*" });
  expect(toTerms("Anton's")).toEqual({ words: '', last: "Anton's", prefix: "'Anton':* & 's':*" });
});
test.each(['', '   ', '\0', '\0\0 \t', "'", '&|!():*<->', '… — \\', '\u0301'])('%j has no word', (text) => {
  expect(toTerms(text)).toBeNull();
});
test('NUL separates words', () => {
  expect(toTerms('tea\0cha')).toMatchObject({ words: 'tea', last: 'cha' });
});
test('a text too long is refused, one as long as allowed is not', () => {
  expect(() => toTerms('x'.repeat(501))).toThrow(InvalidSearch);
  expect(toTerms('x'.repeat(500))).not.toBeNull();
});
test('limit and offset have bounds', () => {
  expect(toPage({})).toEqual({ limit: 20, offset: 0 });
  for (const limit of [0, -1, 101, 1.5, NaN, Infinity]) expect(() => toPage({ limit })).toThrow(/limit .* 1 to 100/);
  for (const offset of [-1, 10_001, 0.5]) expect(() => toPage({ offset })).toThrow(/offset .* 0 to 10000/);
});
test('property: a prefix holds nothing but quoted words', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      const terms = toTerms(text.slice(0, 500));
      if (terms) expect(terms.prefix).toMatch(/^'[\p{L}\p{N}\p{M}]+':\*( & '[\p{L}\p{N}\p{M}]+':\*)*$/u);
    }),
  );
});
