import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { actor } from './actor';

test('who has a name is named', () => {
  expect(actor()).toMatch(/\S/);
});

// Only root may become somebody else.
const asRoot = process.getuid?.() === 0 ? test : test.skip;

asRoot('a user without a name, as in a container, is told by number', () => {
  const code = `process.setuid(61234); console.log(require(${JSON.stringify(join(__dirname, 'actor.ts'))}).actor())`;
  const { stdout } = spawnSync(process.execPath, ['--require', 'tsx/cjs', '-e', code], { encoding: 'utf8' });
  expect(stdout).toBe('uid 61234\n');
});
