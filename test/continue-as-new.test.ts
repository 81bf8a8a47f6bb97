import { model } from '../shop/model';
import { addNote } from '../shop/order/contract';
import { create } from './support/orders';
import { TestSystem } from './support/system';

const NOTES = 2_999;

// Coalesced: one process with more in flight than travels in one update. Single: processes with one in flight each.
test.each([
  ['coalesced', 1, 3],
  ['single', 4, 1],
])(
  '3,000 accepted commands on one order end at version 3,000 over at least two runs (%s)',
  async (name, processes, inFlight) => {
    const system = await TestSystem.open(model);
    await system.startEntityWorker();
    const clients = await Promise.all(Array.from({ length: processes }, () => system.client()));
    await clients[0]?.order(name).send(create());
    let next = 0;
    const outcomes: string[] = [];
    await Promise.all(
      clients.flatMap((client) =>
        Array.from({ length: inFlight }, async () => {
          for (let n = next++; n < NOTES; n = next++) {
            const answer = await client
              .order(name)
              .send(addNote({ text: `note ${n}` }), { commandId: `n${n}`, deadline: 60_000 });
            outcomes.push(answer.outcome);
          }
        }),
      ),
    );
    expect(outcomes.filter((outcome) => outcome === 'accepted')).toHaveLength(NOTES);
    const { rows } = await system.db.query(
      `select count(*) as events, max(version) as version from reprise.events where entity_id = $1`,
      [name],
    );
    expect(rows).toEqual([{ events: 3_000, version: 3_000 }]);
    const { raw, runId } = await system.temporal.workflow.getHandle(`${system.name}order/${name}`).describe();
    expect(raw.workflowExecutionInfo?.firstRunId).not.toBe(runId);
    await system.close();
  },
  300_000,
);
