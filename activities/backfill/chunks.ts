import { ITEMS_OF_A_ROW_MAX, type Item } from './map-row';

/** What goes in one transaction: commands of one partition, in the order of their source. */
export interface Chunk {
  readonly partition: number;
  readonly items: readonly Item[];
}

// A live command that needs the same partition waits for one chunk. On two cores with a load of 8, 100 took 42 ms (p99 136),
// 250 took 95 (p99 524), and rows a second were the same.
export const CHUNK_COMMANDS_MAX = 100;
const CHUNK_BYTES_MAX = 1024 * 1024;

/** An item's place in its run: storage format, in `backfill_places.through`. */
export const placeOf = ({ row, nth }: Item): number => row * (ITEMS_OF_A_ROW_MAX + 1) + nth;

/** Items by partition, each partition's in their order. */
export function byPartition(items: readonly Item[], partitionOf: (item: Item) => number): Map<number, Item[]> {
  const groups = new Map<number, Item[]>();
  for (const item of items) {
    const partition = partitionOf(item);
    const group = groups.get(partition);
    if (group) group.push(item);
    else groups.set(partition, [item]);
  }
  return groups;
}

/** How many of these go next: bounded in number and in bytes; one alone may be larger. */
export function nextChunk(items: readonly Item[], from: number, commandsMax: number): Item[] {
  let bytes = 0;
  let to = from;
  for (; to < items.length && to - from < commandsMax; to++) {
    bytes += items[to]?.bytes ?? 0;
    if (to > from && bytes > CHUNK_BYTES_MAX) break;
  }
  return items.slice(from, to);
}
