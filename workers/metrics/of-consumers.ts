import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { ConsumerWatch } from '../../activities/watch';
import { RetryRatio } from './retry-ratio';

// From a broker beside us to one that answers after its own retries.
const PUBLISH_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];

const RELAY = 'relay/';

/** What the consumers of this process do; each has its series, at 0, from the moment it is known. */
export function watchConsumers(registry: Registry): (consumer: string) => ConsumerWatch {
  const watchTries = makeTries(registry);
  const watchMessages = makeMessages(registry);
  const watchEvents = makeEvents(registry);
  const watches = new Map<string, ConsumerWatch>();
  return (consumer) => {
    const known = watches.get(consumer);
    if (known) return known;
    const isRelay = consumer.startsWith(RELAY);
    const { onTry, onError } = watchTries(consumer);
    const { onPublished, onPublishError } = isRelay ? watchMessages(consumer.slice(RELAY.length)) : NO_MESSAGES;
    const onApplied = isRelay ? () => undefined : watchEvents(consumer);
    const watch: ConsumerWatch = {
      onTry,
      onError: () => {
        onError();
        onPublishError();
      },
      onPublished,
      onApplied,
    };
    watches.set(consumer, watch);
    return watch;
  };
}

const NO_MESSAGES = { onPublished: () => undefined, onPublishError: () => undefined };

function makeTries(registry: Registry): (consumer: string) => Pick<ConsumerWatch, 'onTry' | 'onError'> {
  const counter = (name: string, help: string) =>
    new Counter({ name, help, labelNames: ['consumer'], registers: [registry] });
  const tries = counter('reprise_tries_total', 'Chunks, messages and turns tried.');
  const retries = counter('reprise_retries_total', 'Of the tries, those after one that failed.');
  const errors = counter('reprise_errors_total', 'Tries that failed.');
  const ratios = new Map<string, RetryRatio>();
  new Gauge({
    name: 'reprise_retry_ratio',
    help: 'Retries over tries in the last minute.',
    labelNames: ['consumer'],
    registers: [registry],
    collect() {
      for (const [consumer, ratio] of ratios) this.set({ consumer }, ratio.ratio());
    },
  });
  return (consumer) => {
    const ratio = new RetryRatio();
    ratios.set(consumer, ratio);
    const [ofTries, ofRetries, ofErrors] = [tries.labels(consumer), retries.labels(consumer), errors.labels(consumer)];
    for (const one of [ofTries, ofRetries, ofErrors]) one.inc(0);
    return {
      onTry: (again) => {
        ratio.count(again);
        ofTries.inc();
        if (again) ofRetries.inc();
      },
      onError: () => ofErrors.inc(),
    };
  };
}

interface MessageWatch {
  readonly onPublished: (ms: number) => void;
  readonly onPublishError: () => void;
}

function makeMessages(registry: Registry): (sink: string) => MessageWatch {
  const shared = { labelNames: ['sink'], registers: [registry] };
  const published = new Counter({ name: 'reprise_published_total', help: 'Messages acknowledged.', ...shared });
  const errors = new Counter({
    name: 'reprise_publish_errors_total',
    help: 'Tries to publish that failed, and turns of the relay that did.',
    ...shared,
  });
  const seconds = new Histogram({
    name: 'reprise_publish_seconds',
    help: 'From a try to its acknowledgement.',
    buckets: PUBLISH_SECONDS,
    ...shared,
  });
  return (sink) => {
    const [ofPublished, ofErrors, ofSeconds] = [published.labels(sink), errors.labels(sink), seconds.labels(sink)];
    ofPublished.inc(0);
    ofErrors.inc(0);
    return {
      onPublished: (ms) => {
        ofPublished.inc();
        ofSeconds.observe(ms / 1000);
      },
      onPublishError: () => ofErrors.inc(),
    };
  };
}

function makeEvents(registry: Registry): (consumer: string) => (events: number) => void {
  const applied = new Counter({
    name: 'reprise_applied_events_total',
    help: 'Events applied, each once it is committed.',
    labelNames: ['consumer'],
    registers: [registry],
  });
  return (consumer) => {
    const ofConsumer = applied.labels(consumer);
    ofConsumer.inc(0);
    return (events) => ofConsumer.inc(events);
  };
}
