import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';

/** An HTTP surface. Fastify doors register routes; raw doors (git, blobs) take the request before Fastify sees it. */
export type Door =
  | { readonly kind: 'routes'; readonly name: string; register(app: FastifyInstance): void }
  | {
      readonly kind: 'raw';
      readonly name: string;
      /** It cuts off by itself who is silent; any other door's bodies have a bound in time, unless it says `mayTakeItsTime`. */
      readonly boundsBodies?: true;
      /** True where the (already checked) path belongs to this door. */
      matches(path: string): boolean;
      handle(request: IncomingMessage, response: ServerResponse, context: RawContext): Promise<void>;
    };

export interface RawContext {
  readonly requestId: string;
  /** R16: TLS, loopback, unix socket, or plain HTTP that was allowed. */
  readonly secure: boolean;
  /** Path without query, exactly as on the request line, checked by `paths.ts`. */
  readonly path: string;
  readonly query: URLSearchParams;
}
