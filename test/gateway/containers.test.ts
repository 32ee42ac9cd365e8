import { containersSuite } from '../e2e/containers-suite.ts';
import { startBehind } from '../support/behind.ts';

containersSuite('through the gateway', async ({ listen, external, registry }) => {
  let waiting = { id: 0, token: '' };
  const place = await startBehind({
    port: listen[0].port,
    server: { externalUrls: [external], registryUrl: registry, allowPlainHttp: true },
    gateway: { listen, externalUrls: [external], registryUrl: registry, allowPlainHttp: true },
    async prepared(upstream) {
      waiting = await upstream.runner();
      // It speaks plain GitLab: its own passes are off.
      await upstream.must('PUT', `/api/v4/runners/${waiting.id}`, { trust: 'none' });
      // The key is the one that comes with its first signed request.
      return { signedRunners: [{ id: waiting.id as never, key: undefined }] };
    },
  });
  return { ...place, waiting, trusted: async () => {} };
});
