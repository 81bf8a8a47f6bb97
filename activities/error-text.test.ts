import { errorText } from './error-text';

test.each([
  ['an error', new Error('cannot'), 'cannot'],
  ['an error without a message', new TypeError(), 'TypeError'],
  ['a text', 'no error', 'no error'],
  ['nothing', undefined, 'undefined'],
  ['a NUL', new Error('a\0b'), 'a\uFFFDb'],
  ['half of a character', new Error('a\ud800b'), 'a\uFFFDb'],
  ['an object without a prototype', Object.create(null), 'what was thrown cannot be shown as text'],
  [
    'a message that throws',
    {
      get message() {
        throw new Error('?');
      },
    },
    'what was thrown cannot be shown as text',
  ],
])('%s is told', (_what, thrown, told) => {
  expect(errorText(thrown)).toBe(told);
});

test('a long text is cut, and never in the middle of a character', () => {
  const told = errorText(new Error(`${'x'.repeat(1_999)}😀`));
  expect(told).toBe(`${'x'.repeat(1_999)}\uFFFD`);
});
