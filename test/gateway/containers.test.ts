import { containersSuite } from '../e2e/containers-suite.ts';
import { openGateway } from '../support/place.ts';

containersSuite('through the gateway', async (at) => {
  // The key is the one that comes with its first signed request.
  const place = await openGateway(
    undefined,
    ({ id }) => ({ trustedRunners: [], signedRunners: [{ id: id as never, key: undefined }] }),
    at,
  );
  return { ...place.forge, url: place.url, stop: () => place.stop(), waiting: place.runner, trusted: async () => {} };
});
