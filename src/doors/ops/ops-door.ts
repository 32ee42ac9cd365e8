import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Door } from '../door.ts';

/** Numbers for Prometheus: none of them names a user, a project or a path. */
export interface Metrics {
  readonly registry: Registry;
  request(door: string, status: number, seconds: number): void;
  decision(decision: string, door: string, rule: string): void;
}

/** @param live how many uses of passes are open now */
export function makeMetrics(live: () => number): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'jobpass_' });
  const requests = new Counter({
    name: 'jobpass_http_requests_total',
    help: 'Requests by door and status',
    labelNames: ['door', 'status'],
    registers: [registry],
  });
  const seconds = new Histogram({
    name: 'jobpass_http_request_seconds',
    help: 'Time to answer, long polls included',
    labelNames: ['door'],
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 10, 60],
    registers: [registry],
  });
  const decisions = new Counter({
    name: 'jobpass_decisions_total',
    help: 'Decisions by answer, door and rule',
    labelNames: ['decision', 'door', 'rule'],
    registers: [registry],
  });
  registry.registerMetric(
    new Gauge({
      name: 'jobpass_passes_in_use',
      help: 'Requests and streams that a pass holds open',
      registers: [],
      collect() {
        this.set(live());
      },
    }),
  );
  return {
    registry,
    request: (door, status, took) => {
      requests.inc({ door, status: String(status) });
      seconds.observe({ door }, took);
    },
    decision: (decision, door, rule) => decisions.inc({ decision, door, rule }),
  };
}

export interface OpsDeps {
  readonly metrics: Metrics;
  /** @throws when the store does not answer */
  readonly ping: () => Promise<void>;
}

/** What somebody with a browser finds, who followed a link or wanted to see whether anything is there. */
const front = `This is jobpass. It has no pages: git, docker, gitlab-runner and whatever speaks GitLab's REST API (/api/v4) talk to it.
Is it well? /-/readiness
`;

/** Health, readiness and metrics. Open to anyone: nothing about anybody is in them. */
export function makeOpsDoor(deps: OpsDeps): Door {
  return {
    kind: 'routes',
    name: 'ops',
    register(app) {
      app.get('/', async (_request, reply) => reply.type('text/plain').send(front));
      app.get('/-/health', async (_request, reply) => reply.type('text/plain').send('jobpass OK\n'));
      app.get('/-/liveness', async (_request, reply) => reply.type('application/json').send('{"status":"ok"}'));
      app.get('/-/readiness', async (_request, reply) => {
        try {
          await deps.ping();
          return await reply.type('application/json').send('{"status":"ok","store":"ok"}');
        } catch {
          return reply.code(503).type('application/json').send('{"status":"failed","store":"failed"}');
        }
      });
      app.get('/-/metrics', async (_request, reply) =>
        reply.type(deps.metrics.registry.contentType).send(await deps.metrics.registry.metrics()),
      );
    },
  };
}
