import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { recordHistories } from './support/record-histories';
import { required } from './support/system';

const FOLDER = join(__dirname, 'histories');

beforeAll(async () => {
  const release = process.env['REPRISE_RECORD'];
  if (release) await recordHistories(release);
  else Runtime.install({ logger: new DefaultLogger('ERROR') });
}, 300_000);

// A process is the project's own workflow, in a bundle of its own.
const PROCESSES = {
  workflowsPath: require.resolve('../shop/processes'),
  interceptors: { workflowModules: [require.resolve('../workflows/process-end')] },
};

const replay = (file: string) =>
  Worker.runReplayHistory(
    file.includes('-process-') ? PROCESSES : { workflowBundle: { codePath: required('REPRISE_WORKFLOW_BUNDLE') } },
    JSON.parse(readFileSync(join(FOLDER, file), 'utf8')),
  );

describe('invariant 18: every recorded workflow history replays without error', () => {
  const files = readdirSync(FOLDER).filter((file) => file.endsWith('.json'));

  test('invariant 18: there is one per shape', () => {
    const shapes = [
      'single',
      'batch-and-post',
      'refusal',
      'close',
      'failed-and-retried',
      'continue-as-new',
      'leaves-under-load',
      'consumer',
      'reaction',
      'reaction-parked',
      'reaction-line',
      'reaction-line-asks',
      'process-paid',
      'process-cancelled',
      'backfill',
      'backfill-cancelled',
      'backfill-failed',
    ];
    expect(shapes.filter((shape) => !files.some((file) => file.endsWith(`-${shape}.json`)))).toEqual([]);
  });

  test.each(files)('invariant 18: %s', async (file) => {
    await replay(file);
  });
});

test('a history that the code would not make is found', async () => {
  const history = JSON.parse(readFileSync(join(FOLDER, 'v0.1-close.json'), 'utf8')) as {
    events: { eventType: string }[];
  };
  const withoutTimer = { events: history.events.filter(({ eventType }) => !eventType.includes('TIMER')) };
  await expect(
    Worker.runReplayHistory({ workflowBundle: { codePath: required('REPRISE_WORKFLOW_BUNDLE') } }, withoutTimer),
  ).rejects.toThrow();
});
