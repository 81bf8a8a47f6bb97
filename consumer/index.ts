export { NotAnEnvelope, parseEnvelope, SKIPPED, type Envelope } from '../contracts/envelope';
export { makeInbox, MissingPredecessor, type Handler, type Inbox, type InboxOptions } from './inbox';
