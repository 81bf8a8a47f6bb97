import type { Pool } from 'pg';
import type { Model } from '../model/model';
import type { ReplayActivities } from '../workflows/replay';
import { begin } from './replay/begin';
import { fill } from './replay/fill';
import { lookAt } from './replay/look';
import { makeIndexes } from './replay/make-indexes';
import { refold } from './replay/refold';
import { drop, rollBack, switchOver } from './replay/switch';
import { verify } from './replay/verify';
import { controlReplay } from '../db/replays';

export interface ReplayPorts {
  /** A pool logged in as `reprise_replay`: the log, and what is being built. */
  readonly db: Pool;
  /** A pool logged in as `reprise_read`: compares with what is live. */
  readonly readDb: Pool;
  readonly model: Model;
  readonly heartbeat: (details: unknown) => void;
  /** Aborted when the worker stops or the activity is cancelled. */
  readonly signal: () => AbortSignal;
}

/** What a replay does to the world: to PostgreSQL, and to nothing else. */
export function makeReplayActivities(ports: ReplayPorts): ReplayActivities {
  const { db } = ports;
  return {
    begin: (input) => begin(ports, input),
    fill: (build, slice) => fill(ports, build, slice),
    refold: (build) => refold(ports, build),
    index: (build) => makeIndexes(ports, build),
    verify: (build, how) => verify(ports, build, how),
    switchOver: (build, how) => switchOver(ports, build, how),
    rollBack: (build, to) => rollBack(ports, build, to),
    drop: (build, generation, phase) => drop(ports, build, { generation, phase }),
    control: async (build, asked) => {
      await controlReplay(db, build, asked);
    },
    look: (build) => lookAt(db, build),
  };
}
