export { assertCommutes } from './commute';
export { cloneDatabase, type ClonedDatabase } from './database';
export { given } from './entity-spec';
export { project, recorded, type ProjectOptions } from './projection-spec';
export { startTestServers, type TestServers } from './servers';
export { startTestSystem, type TestSystem } from './system';
