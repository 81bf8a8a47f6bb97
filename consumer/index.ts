export { NotAnEnvelope, parseEnvelope, SKIPPED, type Envelope } from './envelope';
export { makeInbox, MissingPredecessor, type Handler, type Inbox, type InboxOptions } from './inbox';
