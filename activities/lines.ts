/** Items by entity, each line in the order given: lines may go side by side, within one is one after the other. */
export function inLines<Item>(items: readonly Item[], entityOf: (item: Item) => string): readonly (readonly Item[])[] {
  const lines = new Map<string, Item[]>();
  for (const item of items) {
    const line = lines.get(entityOf(item));
    if (line) line.push(item);
    else lines.set(entityOf(item), [item]);
  }
  return [...lines.values()];
}
