/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/**/*.test.ts'],
  transform: { '^.+\\.ts$': ['@swc/jest', { jsc: { target: 'es2022', parser: { syntax: 'typescript' } } }] },
  globalSetup: '<rootDir>/test/support/global-setup.ts',
  globalTeardown: '<rootDir>/test/support/global-teardown.ts',
  modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/.reprise'],
  testTimeout: 60_000,
  maxWorkers: 2,
  // A test that failed may have left workers polling; they must not keep the run from ending.
  forceExit: true,
  reporters: ['default', '<rootDir>/test/support/count-reporter.cjs'],
};
