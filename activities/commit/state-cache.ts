import type { KnownEntity } from './known';

const ENTITIES_MAX = 1_000;
const STATE_BYTES_MAX = 16_384;

/**
 * The last state this process committed, per entity, least recently used first out.
 * It can never give a wrong answer: the commit compares the version of every entity decided on, and a moved one is loaded.
 */
export class StateCache {
  private readonly entries = new Map<string, KnownEntity>();

  get(key: string): KnownEntity | undefined {
    const found = this.entries.get(key);
    if (found) {
      this.entries.delete(key);
      this.entries.set(key, found);
    }
    return found;
  }

  set(key: string, entity: KnownEntity): void {
    this.entries.delete(key);
    if (JSON.stringify(entity.state).length > STATE_BYTES_MAX) return;
    this.entries.set(key, entity);
    if (this.entries.size > ENTITIES_MAX) {
      const oldest = this.entries.keys().next();
      if (!oldest.done) this.entries.delete(oldest.value);
    }
  }

  forget(key: string): void {
    this.entries.delete(key);
  }
}
