import type { FastifyInstance } from 'fastify';
import { limits } from '../../base/limits.ts';
import { JobpassError } from '../../base/errors.ts';
import type { Door } from '../door.ts';
import { mayTakeItsTime } from '../http.ts';
import { lingerUnread } from '../unread.ts';
import { auditRoutes } from './audit.ts';
import { boundRoutes } from './bounds.ts';
import { bridgeRoutes } from './bridges.ts';
import { ceilingRoutes } from './ceilings.ts';
import { commitStatusRoutes } from './commit-statuses.ts';
import { comparisonRoutes } from './comparison.ts';
import { environmentRoutes } from './environments.ts';
import { eventRoutes } from './events.ts';
import { fileRoutes, streamedRoutes } from './files.ts';
import { groupRoutes } from './groups.ts';
import { impersonationRoutes } from './impersonation.ts';
import { instanceRoutes } from './instance.ts';
import { jobPassRoutes } from './job-passes.ts';
import { memberRoutes } from './members.ts';
import { lintRoutes } from './lint.ts';
import { mergeRequestRoutes } from './merge-requests.ts';
import { pipelineRoutes } from './pipelines.ts';
import { projectRoutes } from './projects.ts';
import { registryRoutes } from './registry.ts';
import { removalRoutes } from './removal.ts';
import { releaseRoutes } from './releases.ts';
import { repositoryRoutes } from './repository.ts';
import { resourceGroupRoutes } from './resource-groups.ts';
import { answerError, answerUnknownRoute, type ApiDeps, registerRoutes, type RouteDeps } from './route.ts';
import { runnerRoutes } from './runners.ts';
import { scheduleRoutes } from './schedules.ts';
import { triggerRoutes } from './triggers.ts';
import { trustRoutes } from './trust.ts';
import { userRoutes } from './users.ts';
import { variableRoutes } from './variables.ts';

/** `/api/v4`: GitLab's REST API, as far as a job's pass and a person at curl reach. */
export function makeApiDoor(deps: ApiDeps): Door {
  return {
    kind: 'routes',
    name: 'api',
    register(app) {
      apiSurface(app, deps);
      // Bodies of any type, which are not read before the caller is known.
      void app.register((streamed, _options, done) => {
        streamed.removeAllContentTypeParsers();
        streamed.addContentTypeParser('*', (request, _body, parsed) => {
          mayTakeItsTime(request.raw, limits.streamedBodyIdleMs);
          parsed(null, undefined);
        });
        // Refused before its body was read: the client gets to hear why, and cannot go on sending for long.
        streamed.addHook('onSend', (request, reply, _payload, sent) => {
          if (reply.statusCode >= 400) lingerUnread(request.raw, reply.raw);
          sent();
        });
        registerRoutes(streamed, deps, streamedRoutes(deps));
        done();
      });
      registerRoutes(app, deps, {
        ...instanceRoutes(deps),
        ...auditRoutes(deps),
        ...userRoutes(deps),
        ...impersonationRoutes(deps),
        ...eventRoutes(deps),
        ...groupRoutes(deps),
        ...projectRoutes(deps),
        ...memberRoutes(deps),
        ...repositoryRoutes(deps),
        ...comparisonRoutes(deps),
        ...commitStatusRoutes(deps),
        ...releaseRoutes(deps),
        ...registryRoutes(deps),
        ...fileRoutes(deps),
        ...mergeRequestRoutes(deps),
        ...pipelineRoutes(deps),
        ...bridgeRoutes(deps),
        ...environmentRoutes(deps),
        ...lintRoutes(deps),
        ...removalRoutes(deps),
        ...resourceGroupRoutes(deps),
        ...scheduleRoutes(deps),
        ...triggerRoutes(deps),
        ...runnerRoutes(deps),
        ...boundRoutes(deps),
        ...ceilingRoutes(deps),
        ...trustRoutes(deps),
        ...jobPassRoutes(deps),
        ...variableRoutes(deps),
      });
    },
  };
}

/** How API routes read bodies and say no, also where there is no route. */
export function apiSurface(app: FastifyInstance, deps: RouteDeps): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, parseJson(String(body)));
    } catch (error) {
      done(error instanceof Error ? error : new Error('bad JSON'));
    }
  });
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) =>
    done(null, new URLSearchParams(String(body))),
  );
  app.setErrorHandler((error: { statusCode?: number } & Error, request, reply) => {
    if (error.statusCode === 413) return answerError(deps, new JobpassError('too_large', 'The body is too large.'), request, reply);
    if (error.statusCode === 415)
      return reply
        .code(415)
        .type('application/json')
        .send('{"error":"The provided content-type is not supported: send application/json or a form."}');
    return answerError(
      deps,
      error.statusCode === undefined || error.statusCode >= 500 ? error : new JobpassError('invalid_input', error.message),
      request,
      reply,
    );
  });
  app.setNotFoundHandler((request, reply) => answerUnknownRoute(deps, request, reply));
}

/** @throws invalid_input for what is not JSON, or nests too deep */
export function parseJson(text: string): unknown {
  if (text.trim() === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw Object.assign(new JobpassError('invalid_input', 'The body is not valid JSON.'), { statusCode: 400 });
  }
  if (depthOver(value, limits.jsonDepth))
    throw Object.assign(new JobpassError('invalid_input', `The JSON nests deeper than ${limits.jsonDepth}.`), { statusCode: 400 });
  return value;
}

function depthOver(value: unknown, left: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return left <= 0 || Object.values(value).some((inner) => depthOver(inner, left - 1));
}
