import type { Door } from '../door.ts';

/** What the gateway answers itself, below `/-/jobpass/`, beside the OAuth routes: that it is there. */
export function makeOwnRoutes(ping: () => Promise<void>): Door {
  return {
    kind: 'routes',
    name: 'gateway',
    register(app) {
      app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) =>
        done(null, new URLSearchParams(String(body))),
      );
      app.setNotFoundHandler((_request, reply) => reply.code(404).type('application/json').send('{"error":"404 Not Found"}'));
      app.get('/-/jobpass/health', async (_request, reply) => {
        await ping();
        return reply.type('application/json').send('{"status":"ok"}');
      });
    },
  };
}
