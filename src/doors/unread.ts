import type { IncomingMessage, ServerResponse } from 'node:http';

const mostBytes = 16 * 1024 * 1024;
const mostMs = 5000;

/**
 * Before a request is refused whose body nobody will read: lets the client finish within bounds, and throws away what it sends. Closing at
 * once would reset the connection, and a client that is still sending would never see the answer (nginx: `lingering_close`). Where the answer
 * says `Connection: close` in a header of its own, nothing is waited for.
 */
export function lingerUnread(request: IncomingMessage, response: ServerResponse): void {
  if (request.complete || response.hasHeader('connection')) return;
  let left = mostBytes;
  // Before the answer has gone: Node would throw the rest away itself then, however much comes.
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) request.destroy();
  });
  dropRest(request);
  // Node would close a connection on which the client wants nothing else as soon as it has answered; its parser takes nothing more there.
  const last = !response.shouldKeepAlive;
  response.shouldKeepAlive = true;
  response.once('finish', () => {
    const timer = setTimeout(() => request.destroy(), mostMs).unref();
    const over = (): void => {
      clearTimeout(timer);
      if (last) request.socket.destroySoon();
    };
    request.once('close', over);
    if (request.closed) over();
  });
}

/**
 * What is left of a body goes nowhere, so that the next request on the connection is heard. Also where somebody has begun with it: a pipe whose end is full holds it
 * back; while an iterator is open nothing flows past it, and when it closes nothing flows but to a listener.
 */
export function dropRest(request: IncomingMessage): void {
  request.unpipe();
  request.removeAllListeners('readable');
  request.off('data', drop).on('data', drop).resume();
}

function drop(): void {}
