const ENGINE = '^(contracts|model|client|workflows|activities|db|workers|relay|testing|embedded|consumer)/';
const TEST = '\\.test\\.ts$';
const OUTSIDE = '^shop/(ports\\.ts|outside/)';
const PROCESSES = '^shop/processes\\.ts$';

/** The import rules, as law. @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-circles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'engine-knows-no-shop',
      comment: 'The engine serves any model; the shop is one of them.',
      severity: 'error',
      from: { path: ENGINE, pathNot: TEST },
      to: { path: '^(shop|cli|test|bench)/' },
    },
    {
      name: 'contracts-and-model-are-pure',
      severity: 'error',
      from: { path: '^(contracts|model)/', pathNot: TEST },
      to: { path: '^(client|workflows|activities|db|workers|relay|embedded|cli)/|node_modules/(pg|@temporalio)/' },
    },
    {
      name: 'contracts-and-model-touch-no-machine',
      severity: 'error',
      from: { path: '^(contracts|model)/', pathNot: TEST },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'workflows-touch-nothing',
      comment: 'Domain code runs in the commit activity, never here: a deploy of it must not break a running workflow.',
      severity: 'error',
      from: { path: '^workflows/' },
      to: { path: '^(model|shop|activities|db|client|workers|embedded|cli)/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'a-declaration-is-pure',
      severity: 'error',
      from: { path: '^shop/(?!northwind/)', pathNot: `${TEST}|${OUTSIDE}|${PROCESSES}` },
      to: { pathNot: '^(contracts|model|shop)/|node_modules/zod/' },
    },
    {
      name: 'a-declaration-reaches-no-outside',
      comment: 'A reaction is given its ports; it knows their types and nothing of what stands behind them.',
      severity: 'error',
      from: { path: '^shop/', pathNot: `${TEST}|${OUTSIDE}` },
      to: { path: OUTSIDE, dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'a-process-touches-nothing',
      comment: "A process is a workflow: contracts, Temporal's workflow API, and the engine's door to the rest.",
      severity: 'error',
      from: { path: PROCESSES },
      to: {
        pathNot: '^(contracts|workflows)/|^shop/.*contract\\.ts$|node_modules/(zod|@temporalio/workflow)/',
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'a-model-reaches-no-reaction',
      comment: 'Replay and projectors load the model: what it reaches could be started by them.',
      severity: 'error',
      from: { path: '^shop/model\\.ts$' },
      to: { path: '(^|/)reactions?\\.ts$', reachable: true },
    },
    {
      name: 'replay-is-apart',
      comment: 'Nothing live knows of it: its own files, what reads its rows, and what starts and tests it.',
      severity: 'error',
      from: { pathNot: '(^|/)replay\\.ts$|^(activities|workers)/replay/|^db/replays\\.ts$|^(cli|test|bench)/' },
      to: { path: '^(workflows|activities|workers)/replay(\\.ts$|/)' },
    },
    {
      name: 'replay-reaches-no-outside',
      severity: 'error',
      from: { path: '^(workflows|activities|workers)/replay(\\.ts$|/)' },
      to: { path: '^relay/|(^|/)(react|reaction|reactions|relay)\\.ts$', reachable: true },
    },
    {
      name: 'no-development-tools-in-the-product',
      severity: 'error',
      from: { pathNot: `${TEST}|^(test|bench|docker)/|\\.config\\.` },
      to: {
        dependencyTypes: ['npm-dev'],
        dependencyTypesNot: ['type-only', 'npm-peer'],
        pathNot: 'node_modules/(@types|kafkajs)/', // an optional peer
      },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|\\.reprise)/' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.json'] },
  },
};
