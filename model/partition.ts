const FNV_OFFSET_BASIS = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

const utf8 = new TextEncoder();

/**
 * The partition (0..partitions-1) all events of an entity lie in: FNV-1a 32 of `type/id` in UTF-8, modulo.
 * Computed here and nowhere else; the number of partitions is fixed when a database is created.
 * Source: RFC 9923, the FNV non-cryptographic hash algorithm.
 */
export function partitionOf(entityType: string, entityId: string, partitions: number): number {
  let hash = FNV_OFFSET_BASIS;
  for (const byte of utf8.encode(`${entityType}/${entityId}`)) {
    hash = Math.imul(hash ^ byte, FNV_PRIME);
  }
  return (hash >>> 0) % partitions;
}
