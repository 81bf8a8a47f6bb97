export { command, type Command, type CommandContract, type CommandData } from './contracts/command';
export {
  event,
  type EventContract,
  type EventData,
  type Meta,
  type NewEvent,
  type RecordedEvent,
  type Stewardship,
} from './contracts/event';
export { BehindCode } from './contracts/upcast';
export { backfill, backfills, csv, ndjson, sqlQuery, type Backfill, type Brought, type Source } from './model/backfill';
export { entity, perEntity, type Entity, type Routing } from './model/entity';
export { model, type Model } from './model/model';
export { projection, sql, type Projection, type SearchDefinition } from './model/projection';
export {
  GiveUp,
  NoAnswer,
  reaction,
  reactions,
  RetryLater,
  type Reaction,
  type ReactionAnswer,
  type ReactionContext,
} from './model/reaction';
export { refuse, type Refusal, type Refusals } from './model/refusal';
