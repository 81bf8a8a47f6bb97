import { readFileSync } from 'node:fs';

export async function pairUp(): Promise<number> {
  return readFileSync(__filename).length;
}
