import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { envExample } from '../docker/env-example';

const ROOT = resolve(__dirname, '..');
const text = readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8');

// The part of the Compose Specification that the file uses, strictly: a misspelt key is an error.
const duration = z.string().regex(/^\d+(ms|s|m)$/);
const service = z.strictObject({
  image: z.string().regex(/^[a-z0-9/-]+:[\w.-]+$/, 'a pinned tag'),
  environment: z.record(z.string(), z.string()).optional(),
  entrypoint: z.array(z.string()).optional(),
  command: z.array(z.string()).optional(),
  ports: z.array(z.string().regex(/^127\.0\.0\.1:\d+:\d+$/, 'the loopback address only')).optional(),
  volumes: z.array(z.string()).optional(),
  healthcheck: z
    .strictObject({
      test: z.tuple([z.literal('CMD-SHELL'), z.string()]),
      interval: duration,
      timeout: duration,
      retries: z.int(),
      start_period: duration.optional(),
    })
    .optional(),
  depends_on: z
    .record(z.string(), z.strictObject({ condition: z.enum(['service_healthy', 'service_completed_successfully']) }))
    .optional(),
});
const compose = z.strictObject({ services: z.record(z.string(), service), volumes: z.record(z.string(), z.null()) });

test('docker-compose.yml fits its schema: pinned images, loopback ports, known keys', () => {
  expect(compose.safeParse(parse(text)).error?.issues ?? []).toEqual([]);
});
test('whoever is waited for as healthy has a health check, and every mount exists', () => {
  const { services, volumes } = compose.parse(parse(text));
  for (const { depends_on = {}, volumes: mounts = [] } of Object.values(services)) {
    for (const [name, { condition }] of Object.entries(depends_on)) {
      expect(services).toHaveProperty(name);
      if (condition === 'service_healthy') expect(services[name]?.healthcheck).toBeDefined();
    }
    for (const [source = ''] of mounts.map((mount) => mount.split(':'))) {
      expect(source.startsWith('.') ? existsSync(join(ROOT, source)) : source in volumes).toBe(true);
    }
  }
});
test('.env.example is what the compose file says', () => {
  expect(readFileSync(join(ROOT, '.env.example'), 'utf8')).toBe(envExample());
});
test('docker compose takes it, where docker compose is', () => {
  try {
    execFileSync('docker', ['compose', 'version'], { stdio: 'ignore' });
  } catch {
    return; // No client here; the schema above is what was checked.
  }
  execFileSync('docker', ['compose', '-f', join(ROOT, 'docker-compose.yml'), 'config', '-q']);
});
