// The bundle of the live workers. A workflow's type is the name it is exported by.
export { backfill } from './backfill';
export { consumer } from './consumer';
export { entity } from './entity';
export { reaction, reactionLine } from './reaction';
