import { rootCertificates } from 'node:tls';
import { Agent } from 'undici';
import { JobpassError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { type Ends, Exchange, noAnswer, sayFailed } from './exchange.ts';
import type { Forwarder } from './forwarder.ts';
import { requestProblem } from './headers.ts';
import { defaultSilenceMs, forwardExpecting, type OwnConnectionOptions, tunnel } from './upgrade.ts';
import { WirePool } from './wire/pool.ts';

/** `upstream` is the forge's origin, `ca` the PEM of the authority that signed its certificate, where the system does not know it. */
export interface ForwarderOptions extends OwnConnectionOptions {
  /** Connections to the forge at most; none = as many as clients ask for, as every long poll holds one. */
  readonly connections?: number;
  readonly log: Log;
}

const answerHeaderBytes = 64 * 1024;

/** Kept connections of our own to the forge, and a general client for a storage behind it. Trailers are dropped: they could say what no header may. */
export function makeForwarder(options: ForwarderOptions): Forwarder {
  const silenceMs = options.silenceMs ?? defaultSilenceMs;
  const { ca, upstream, connections } = options;
  const storage = new Agent({
    pipelining: 1,
    headersTimeout: silenceMs,
    bodyTimeout: silenceMs,
    maxHeaderSize: answerHeaderBytes,
    ...(ca === undefined ? {} : { connect: { ca: [...rootCertificates, ca] } }),
  });
  const forge = new WirePool({ upstream, ca, connections, silenceMs });
  const ends: Ends = { forge, storage };
  return {
    async forward(request, response, change) {
      const problem = requestProblem(request);
      if (problem !== undefined) throw new JobpassError('invalid_input', problem);
      if (request.headers.expect !== undefined && change === undefined) {
        const forwarded = await forwardExpecting(options, request, response);
        if (forwarded.outcome === 'upstream_failed') sayFailed(options.log, request, response, noAnswer());
        return forwarded;
      }
      return new Exchange(ends, options, request, response, change ?? {}).done;
    },
    forwardPlain: (request, response) => new Exchange(ends, options, request, response, {}).done,
    upgrade: (request, socket, head) => tunnel(options, request, socket, head),
    async close() {
      forge.destroy();
      await storage.destroy();
    },
  };
}
