import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

interface Compose {
  readonly services: Readonly<Record<string, { environment?: Record<string, string>; ports?: string[] }>>;
}

const ROOT = join(__dirname, '..');

/** The variables that point Reprise at docker-compose.yml, taken from that file. */
export function envExample(): string {
  const { services } = parse(readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8')) as Compose;
  const address = (service: string) => (services[service]?.ports?.[0] ?? '').split(':').slice(0, 2).join(':');
  const {
    POSTGRES_USER: user,
    POSTGRES_PASSWORD: password,
    POSTGRES_DB: db,
  } = services['postgresql']?.environment ?? {};
  return [
    '# Points Reprise at docker-compose.yml. Written from it by `npx tsx docker/env-example.ts`; a test compares.',
    `DATABASE_URL=postgres://${user}:${password}@${address('postgresql')}/${db}`,
    `TEMPORAL_ADDRESS=${address('temporal')}`,
    'TEMPORAL_NAMESPACE=default',
    `NATS_URL=nats://${address('nats')}`,
    '',
  ].join('\n');
}

if (require.main === module) writeFileSync(join(ROOT, '.env.example'), envExample());
