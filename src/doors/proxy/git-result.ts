import type { IncomingMessage, ServerResponse } from 'node:http';

export interface GitResult {
  readonly service: 'git-upload-pack' | 'git-receive-pack';
  readonly body: Buffer;
  /** What the client still sends: a status of 200 does not stop it, and it hears nothing before. */
  readonly rest: AsyncIterable<Buffer>;
}

/** Answers git in the forge's place, once it has sent all. @param signal cuts both sides when aborted (R2) @returns whether it was heard out */
export async function answerGit(
  signal: AbortSignal,
  request: IncomingMessage,
  response: ServerResponse,
  { service, body, rest }: GitResult,
): Promise<boolean> {
  const cut = (): void => {
    response.destroy();
    request.destroy();
  };
  signal.addEventListener('abort', cut, { once: true });
  try {
    const pieces = rest[Symbol.asyncIterator]();
    while ((await pieces.next()).done !== true) if (signal.aborted) return false;
  } catch {
    // It hung up, or was cut.
    response.destroy();
    return false;
  } finally {
    signal.removeEventListener('abort', cut);
  }
  const headers = { 'content-type': `application/x-${service}-result`, 'cache-control': 'no-cache', 'content-length': body.length };
  response.writeHead(200, headers).end(body);
  return true;
}
