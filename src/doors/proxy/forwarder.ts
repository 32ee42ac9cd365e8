import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { UserId } from '../../base/ids.ts';
import type { Secret } from '../../base/secret.ts';
import type { PlainRequest } from '../plain/request.ts';
import type { PlainResponse } from '../plain/response.ts';

/** Carries requests to the forge behind the gateway, and its answers back. */
export interface Forwarder {
  /**
   * Streams one request up and its answer down; settles when both are over. Buffers nothing, and follows no redirect unless a change says so.
   * `Expect: 100-continue` is for the forge to answer; with a change, it is for the caller.
   * @throws invalid_input (two readers could read the request in two ways)
   */
  forward(request: IncomingMessage, response: ServerResponse, change?: ForwardChange): Promise<Forwarded>;
  /** The same for a plain request, which nobody changes. */
  forwardPlain(request: PlainRequest, response: PlainResponse): Promise<Forwarded>;
  /** A tunnel for protocol upgrades, after the upstream's 101. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  close(): Promise<void>;
}

/** `as`: the user that an administrator's token acts for (`Sudo`). */
export interface UpstreamCredential {
  readonly name: string;
  readonly value: Secret;
  readonly as?: UserId;
}

/** What is not carried as it came. */
export interface ForwardChange {
  /** Instead of the request's own credentials: `PRIVATE-TOKEN`, `JOB-TOKEN`, `Authorization`, `Sudo` and cookies are dropped. */
  readonly credential?: UpstreamCredential;
  /** Request target with query, where it is another. */
  readonly target?: string;
  /** Cuts both sides when aborted (R2). */
  readonly signal?: AbortSignal;
  /** The forge's answer is awaited, and `answer` told of it, though the client left or was cut: what was made has to be known. */
  readonly finish?: true;
  /** Sees status and headers (raw pairs) before they are sent. @returns undefined = as they are */
  readonly answer?: (head: AnswerHead) => AnswerChange | undefined;
  /** The request's body, in place of what is read from the request. */
  readonly body?: Buffer | ChangedBody;
}

export interface AnswerHead {
  readonly status: number;
  readonly headers: readonly string[];
}

export interface ChangedBody {
  readonly stream: AsyncIterable<Uint8Array>;
  /** As many bytes as the request said, or some other number. */
  readonly length: 'same' | 'other';
}

export type AnswerChange =
  | { readonly kind: 'headers'; readonly headers: readonly string[] }
  /** What stands at another URL, of a server that is trusted, is answered instead; it hears none of the request's headers but ranges and conditions. */
  | { readonly kind: 'follow'; readonly url: string }
  /** The whole body is read, at most `maxBytes` (more = upstream_failed), and answered as `rewrite` says. */
  | {
      readonly kind: 'body';
      readonly maxBytes: number;
      rewrite(body: Buffer): Promise<{ readonly status?: number; readonly headers?: readonly string[]; readonly body: Buffer }>;
    };

export interface Forwarded {
  readonly outcome: 'done' | 'cut' | 'upstream_failed';
  /** Of the upstream's answer; null = there was none. */
  readonly status: number | null;
}
