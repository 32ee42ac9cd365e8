import { startTestServer } from '../support/server.ts';
import { containersSuite } from './containers-suite.ts';

containersSuite('at the embedded forge', async ({ listen, external, registry }) => {
  const server = await startTestServer({ listen, externalUrls: [external], registryUrl: registry, allowPlainHttp: true });
  const waiting = await server.runner();
  return { ...server, waiting, trusted: async () => void (await server.must('PUT', `/api/v4/runners/${waiting.id}`, { trust: 'full' })) };
});
