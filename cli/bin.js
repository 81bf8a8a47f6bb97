#!/usr/bin/env node
// Runs TypeScript as it is: the project's own and a user's model alike, without a build that could be stale.
require('tsx/cjs');
require('./main.ts').run(process.argv);
