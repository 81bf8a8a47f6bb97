/** How much may travel together, and how to send it. */
export interface CoalescerPorts<Item, Answer> {
  /** Sends items together; answers one per item, in order. */
  readonly send: (key: string, items: readonly Item[]) => Promise<readonly Answer[]>;
  readonly bytesOf: (item: Item) => number;
  readonly itemsMax: number;
  readonly bytesMax: number;
}

interface Queued<Item, Answer> {
  readonly item: Item;
  readonly bytes: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One send in flight per key; what arrives meanwhile travels together in the next. Without it a busy workflow gets more
 * updates than `history.maxInFlightUpdates`, which Temporal refuses by throwing its running task away.
 */
export class Coalescer<Item, Answer> {
  private readonly queues = new Map<string, Queued<Item, Answer>[]>();

  constructor(private readonly ports: CoalescerPorts<Item, Answer>) {}

  /** Aborting takes an item out again while it has not been sent; then it never will be. */
  submit(key: string, item: Item, signal: AbortSignal): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const queued = { item, bytes: this.ports.bytesOf(item), resolve, reject };
      const queue = this.queues.get(key);
      if (queue) queue.push(queued);
      else {
        this.queues.set(key, [queued]);
        void this.drain(key);
      }
      signal.addEventListener('abort', () => this.remove(key, queued), { once: true });
    });
  }

  private remove(key: string, queued: Queued<Item, Answer>): void {
    const queue = this.queues.get(key);
    const index = queue?.indexOf(queued) ?? -1;
    if (index >= 0) queue?.splice(index, 1);
  }

  private async drain(key: string): Promise<void> {
    const queue = this.queues.get(key) ?? [];
    for (;;) {
      // What is submitted in this turn of the event loop travels together: callers that were answered together ask again
      // together, and the first of them must not leave alone.
      await new Promise(setImmediate);
      if (queue.length === 0) break;
      const batch = this.take(queue);
      try {
        const answers = await this.ports.send(
          key,
          batch.map(({ item }) => item),
        );
        batch.forEach(({ resolve, reject }, index) => {
          const answer = answers[index];
          if (answer === undefined) reject(new Error(`${answers.length} answers to ${batch.length} items of ${key}`));
          else resolve(answer);
        });
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.queues.delete(key);
  }

  private take(queue: Queued<Item, Answer>[]): Queued<Item, Answer>[] {
    const { itemsMax, bytesMax } = this.ports;
    let count = 1;
    let bytes = queue[0]?.bytes ?? 0;
    while (count < queue.length && count < itemsMax && bytes + (queue[count]?.bytes ?? 0) <= bytesMax) {
      bytes += queue[count]?.bytes ?? 0;
      count += 1;
    }
    return queue.splice(0, count);
  }
}
