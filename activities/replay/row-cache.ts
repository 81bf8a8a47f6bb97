import type { ProjectionRow } from '../../model/projection';

// What one lane keeps: then rows are let go, and read again when an event asks for them.
const ROWS_MAX = 40_000;

interface Kept {
  row: ProjectionRow | null;
  /** Not in the table yet. */
  isNew: boolean;
  /** Changed since it was written. */
  changed: boolean;
}

/** Rows to write back: first ones by COPY, others by key. */
export interface WriteBack {
  readonly first: readonly (readonly [string, ProjectionRow])[];
  /** `null` removes. */
  readonly others: ReadonlyMap<string, ProjectionRow | null>;
}

/** Rows being folded, in memory: each is written once per checkpoint, however many events it took. */
export class RowCache {
  private readonly rows = new Map<string, Kept>();
  private changedRows = 0;

  /** `complete`: the table holds no row that is not in here, so none needs to be looked for. */
  constructor(private complete: boolean) {}

  get changed(): number {
    return this.changedRows;
  }

  /** Keys whose rows may be in the table. */
  missing(wanted: readonly { readonly key: string }[]): string[] {
    if (this.complete) return [];
    return [...new Set(wanted.map(({ key }) => key))].filter((key) => !this.rows.has(key));
  }

  /** What the table had of `keys`; where it had none, the row is new. */
  load(keys: readonly string[], found: ReadonlyMap<string, ProjectionRow>): void {
    for (const key of keys) this.rows.set(key, { row: found.get(key) ?? null, isNew: !found.has(key), changed: false });
  }

  get(key: string): ProjectionRow | null {
    return this.rows.get(key)?.row ?? null;
  }

  set(key: string, row: ProjectionRow | null): void {
    const kept = this.rows.get(key);
    if (!kept) {
      this.rows.set(key, { row, isNew: true, changed: true });
      this.changedRows += 1;
      return;
    }
    kept.row = row;
    if (kept.changed) return;
    kept.changed = true;
    this.changedRows += 1;
  }

  toWrite(): WriteBack {
    const first: [string, ProjectionRow][] = [];
    const others = new Map<string, ProjectionRow | null>();
    for (const [key, { row, isNew, changed }] of this.rows) {
      if (!changed) continue;
      if (!isNew) others.set(key, row);
      else if (row) first.push([key, row]);
    }
    return { first, others };
  }

  /** They are in the table now. */
  written(): void {
    if (this.rows.size > ROWS_MAX) {
      this.rows.clear();
      this.complete = false;
    }
    for (const kept of this.rows.values()) {
      if (!kept.changed) continue;
      kept.changed = false;
      kept.isNew = kept.row === null;
    }
    this.changedRows = 0;
  }
}
