import { userInfo } from 'node:os';

/** Who decides, as this machine knows them: a container's user may have a number and no name. */
export function actor(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}
