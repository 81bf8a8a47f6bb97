const { writeFileSync } = require('node:fs');

/** Writes how many tests passed, failed and were left out, for whoever set REPRISE_TEST_COUNTS to a path. */
module.exports = class CountReporter {
  onRunComplete(_contexts, results) {
    const file = process.env.REPRISE_TEST_COUNTS;
    if (!file) return;
    const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, numRuntimeErrorTestSuites } = results;
    const skipped = numPendingTests + numTodoTests;
    writeFileSync(file, `${numPassedTests} ${numFailedTests + numRuntimeErrorTestSuites} ${skipped}\n`);
  }
};
