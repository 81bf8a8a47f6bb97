import { findContext, loadModel } from '../context';
import { table, type Output } from '../output';
import { databaseChecks } from '../doctor/database';
import { temporalChecks } from '../doctor/temporal';
import type { Check } from '../doctor/check';

/** Every check with what was found, and the cure of what is wrong. Exit 1 when something fails; warnings do not. */
export async function doctor(output: Output): Promise<void> {
  const context = findContext();
  const model = loadModel(context.project);
  const checks: Check[] = [...(await databaseChecks(context, model)), ...(await temporalChecks(context, model))];
  const failed = checks.filter(({ status }) => status === 'fail').length;
  output.result({ healthy: failed === 0, checks }, () => [
    ...table(checks.map(({ status, check, found }) => ({ status, check, found }))),
    ...checks.flatMap(({ status, check, next }) => (next && status !== 'pass' ? [`${status} ${check}: ${next}`] : [])),
  ]);
  // The checks are the answer, also of an unhealthy system: another object on stdout would be no JSON any more.
  if (failed > 0) {
    output.note(`${failed} of ${checks.length} checks failed`);
    process.exitCode = 1;
  }
}
