import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

const ROOT = resolve(__dirname, '..');
let tree: string;

// Each file breaks one rule; together they are a project that the rules must not let pass.
const PLANTED: Readonly<Record<string, readonly [file: string, code: string]>> = {
  'engine-knows-no-shop': ['client/a.ts', `import '../shop/order';`],
  'contracts-and-model-are-pure': ['model/a.ts', `import '../db/pool';`],
  'contracts-and-model-touch-no-machine': ['contracts/a.ts', `import 'node:fs';`],
  'workflows-touch-nothing': ['workflows/a.ts', `import '../activities/commit';`],
  'a-declaration-is-pure': ['shop/order.ts', `import '../db/pool';`],
  'a-declaration-reaches-no-outside': ['shop/order/reactions.ts', `import '../ports';`],
  'a-process-touches-nothing': ['shop/processes.ts', `import './order/reactions';`],
  'a-model-reaches-no-reaction': ['shop/model.ts', `import './entities';`],
  'replay-is-apart': ['workers/entity.ts', `import './replay';`],
  'replay-reaches-no-outside': ['workers/replay.ts', `import '../workers/steps';`],
  'no-circles': ['db/one.ts', `import './two';`],
};
const SUPPORT: Readonly<Record<string, string>> = {
  'db/pool.ts': '',
  'shop/entities.ts': `import './order/reactions';`,
  'shop/ports.ts': '',
  'db/two.ts': `import './one';`,
  'activities/commit.ts': '',
  'activities/react.ts': '',
  'workers/steps.ts': `import '../activities/react';`,
  'tsconfig.json': '{}',
  'package.json': '{}',
};

beforeAll(() => {
  tree = mkdtempSync(join(tmpdir(), 'reprise-boundaries-'));
  for (const [file, code] of [...Object.values(PLANTED), ...Object.entries(SUPPORT)]) {
    mkdirSync(dirname(join(tree, file)), { recursive: true });
    writeFileSync(join(tree, file), `${code}\nexport {};\n`.replace(/^\{\}\nexport \{\};\n$/, '{}'));
  }
  cpSync(join(ROOT, '.dependency-cruiser.cjs'), join(tree, '.dependency-cruiser.cjs'));
});
afterAll(() => rmSync(tree, { recursive: true, force: true }));

test('each import rule finds what is planted against it', () => {
  // It ends with the number of violations, so anything but 0.
  const { stdout } = spawnSync(
    join(ROOT, 'node_modules/.bin/depcruise'),
    [
      '--config',
      '.dependency-cruiser.cjs',
      '--output-type',
      'json',
      'client',
      'model',
      'contracts',
      'workflows',
      'shop',
      'workers',
      'db',
    ],
    { cwd: tree, encoding: 'utf8' },
  );
  const { summary } = JSON.parse(stdout) as { summary: { violations: { rule: { name: string } }[] } };
  const found = new Set(summary.violations.map(({ rule }) => rule.name));
  expect(Object.keys(PLANTED).filter((rule) => !found.has(rule))).toEqual([]);
});
