#!/usr/bin/env node
// Runs TypeScript as it is, the project's own and a user's model alike. In an installed package the engine is compiled.
require('tsx/cjs');
const { existsSync } = require('node:fs');
const { join } = require('node:path');
const source = join(__dirname, 'main.ts');
require(existsSync(source) ? source : '../dist/cli/main.js').run(process.argv);
