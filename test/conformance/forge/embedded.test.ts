import { startTestServer } from '../../support/server.ts';
import { forgeSuite } from './suite.ts';

forgeSuite(
  'the embedded forge',
  async () => {
    const server = await startTestServer();
    const runner = await server.runner();
    await server.must('PUT', `/api/v4/runners/${runner.id}`, { trust: 'full', pinned_verdict: 'expose' });
    return { forge: server, url: server.url, runner, stop: () => server.stop() };
  },
  { roleMs: 0, blocked: 403, listOfSeveral: 'filtered' },
);
