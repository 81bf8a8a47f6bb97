import { findContext, loadModel } from '../context';
import { table, type Output } from '../output';
import { databaseChecks } from '../doctor/database';
import { temporalChecks } from '../doctor/temporal';
import type { Check } from '../doctor/check';
import { CliFailure } from '../failure';

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
  if (failed > 0)
    throw new CliFailure('unhealthy', `${failed} of ${checks.length} checks failed`, 'See the lines above.');
}
