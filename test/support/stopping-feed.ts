import { subscribe } from '../../client/subscribe';
import { counters } from './counters';
import { required } from './system';

// A subscriber that stops itself (SIGSTOP) inside its first handler. Continued, it tells what interrupted it, and ends.
let stopped = false;
subscribe(
  { model: counters, url: required('CHILD_DATABASE_URL') },
  'held',
  () => {
    if (!stopped) process.send?.('stopping', () => process.kill(process.pid, 'SIGSTOP'));
    stopped = true;
    return new Promise((resolve) => setTimeout(resolve, 100));
  },
  {
    onError: (error) => {
      process.send?.({ failed: error instanceof Error ? error.name : String(error) }, () => process.exit(0));
    },
  },
);
