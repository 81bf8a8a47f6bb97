import { chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isOurFolder } from './postgres-binaries';

test('a folder is ours when we made it: not a link, not a folder of somebody else', () => {
  const base = mkdtempSync(join(tmpdir(), 'reprise-ours-'));
  const [ours, link] = [join(base, 'ours'), join(base, 'link')];
  try {
    mkdirSync(ours);
    symlinkSync(ours, link);
    expect([isOurFolder(ours), isOurFolder(link)]).toEqual([true, false]);
    if (process.getuid?.() !== 0) return; // only root gives a folder away
    chownSync(ours, 65_534, 65_534);
    expect(isOurFolder(ours)).toBe(false);
  } finally {
    rmSync(base, { recursive: true });
  }
});
