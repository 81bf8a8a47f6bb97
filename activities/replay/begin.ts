import { ApplicationFailure } from '@temporalio/activity';
import { DatabaseError } from 'pg';
import { withTransaction } from '../../db/pool';
import { readBuilding } from '../../db/replays';
import { projectionConsumer } from '../../workflows/names';
import type { Build, ReplayInput } from '../../workflows/replay';
import type { ReplayPorts } from '../replay';

const NOT_DECLARED = 'RP101';
const UNIQUE_VIOLATION = '23505';

/** Makes the next generation, empty, and its row in `replays`. A second run finds what the first one made. */
export async function begin({ db, model }: ReplayPorts, input: ReplayInput): Promise<Build> {
  const { projection: name, declaredVersion } = input;
  if (model.projection(name)?.version !== declaredVersion) {
    throw ApplicationFailure.create({
      type: 'Refused',
      nonRetryable: true,
      message: `this worker does not fold version ${declaredVersion} of '${name}': start a worker of that code`,
    });
  }
  const consumer = projectionConsumer(name);
  const building = await readBuilding(db, consumer);
  if (building) return building;
  try {
    return await withTransaction(db, async (tx) => {
      const { rows } = await tx.query<{ generation: number }>(
        `select reprise.create_generation($1::text, $2::integer, 'building') as generation`,
        [consumer, declaredVersion],
      );
      const generation = rows[0]?.generation ?? 0;
      await tx.query(
        `insert into reprise.replays (consumer, generation, rate, adaptive, slices, actor)
         values ($1::text, $2::integer, $3::integer, $4::boolean, $5::smallint, $6::text)`,
        [consumer, generation, input.rate, input.adaptive, input.slices, input.actor],
      );
      return { consumer, generation };
    });
  } catch (error) {
    throw asRefusal(error, name);
  }
}

/** What another try would meet again is said at once. */
function asRefusal(error: unknown, name: string): unknown {
  const code = error instanceof DatabaseError ? error.code : undefined;
  if (code === NOT_DECLARED) return refused(errorMessage(error));
  if (code === UNIQUE_VIOLATION) return refused(`a generation of '${name}' is being built already`);
  return error;
}

const refused = (message: string) => ApplicationFailure.create({ type: 'Refused', nonRetryable: true, message });
const errorMessage = (error: unknown): string => (error instanceof Error ? error.message : String(error));
