export { createClient, type ClientOptions, type RepriseClient } from './client';
export { WrongDatabase } from './binding';
export type { EntityHandle, SendOptions } from './entity-handle';
export type { PostOptions } from './door';
export type { EntityState, Moment } from './read';
export type { SearchHit } from './search';
export { InvalidSearch, type SearchOptions } from './search-query';
export type { SubscribeOptions, Subscriber, Subscription } from './subscribe';
export {
  askReplay,
  controlReplay,
  NoReplay,
  ReplayRefused,
  ReplayRunning,
  ReplaySilent,
  startReplay,
  type ReplayDoor,
  type StartedReplay,
} from './replay';
export {
  InvalidCommand,
  PostUnknown,
  type Accepted,
  type Failed,
  type Refused,
  type SendResult,
  type Unknown,
  type Waited,
} from './send-result';
