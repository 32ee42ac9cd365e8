import { expect, test } from 'vitest';
import { startTestServer } from '../../support/server.ts';

test('who comes with a browser is told that there are no pages, and nothing about anybody', async () => {
  const server = await startTestServer();
  try {
    const answer = await fetch(`${server.url}/`, { headers: { accept: 'text/html' } });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, expect.stringContaining('text/plain')]);
    expect(await answer.text()).toMatch(/^This is jobpass\. It has no pages: /);
  } finally {
    await server.stop();
  }
});
