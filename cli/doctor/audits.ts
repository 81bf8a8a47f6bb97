import type { Pool } from 'pg';
import { readDrifts } from '../../db/audits';
import type { Check } from './check';

const NAMED_MAX = 3;

/** What audits found different from its events, and nobody has mended since. */
export async function checkAudits(db: Pool): Promise<Check[]> {
  const drifts = await readDrifts(db, null);
  if (drifts.length === 0) return [{ check: 'audits', status: 'pass', found: 'nothing is known to differ' }];
  return [...new Set(drifts.map(({ consumer }) => consumer))].map((consumer): Check => {
    const subjects = drifts.filter((drift) => drift.consumer === consumer).map(({ subject }) => subject);
    const named = subjects.slice(0, NAMED_MAX).join(', ') + (subjects.length > NAMED_MAX ? ', …' : '');
    return {
      check: `audit of ${consumer}`,
      status: 'warn',
      found: `${subjects.length} differ from their events: ${named}`,
      next: cureOf(consumer),
    };
  });
}

const cureOf = (consumer: string): string => {
  const [kind, name = ''] = consumer.split('/');
  return kind === 'projection'
    ? `See 'reprise audit ls', find who wrote there, then 'reprise projection repair ${name} <entity>'.`
    : "See 'reprise audit ls', and find who wrote there: states are written by commits only.";
};
