import { rootCertificates } from 'node:tls';
import { Agent, Pool } from 'undici';
import { JobpassError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { type Ends, Exchange, noAnswer, sayFailed } from './exchange.ts';
import type { Forwarder } from './forwarder.ts';
import { requestProblem } from './headers.ts';
import { defaultSilenceMs, forwardExpecting, type OwnConnectionOptions, tunnel } from './upgrade.ts';

/** `upstream` is the forge's origin, `ca` the PEM of the authority that signed its certificate, where the system does not know it. */
export interface ForwarderOptions extends OwnConnectionOptions {
  /** Connections to the forge at most; none = as many as clients ask for, as every long poll holds one. */
  readonly connections?: number;
  readonly log: Log;
}

const answerHeaderBytes = 64 * 1024;

/** A pool of kept connections; each request is one dispatch, without a stream object on the way down. Trailers are dropped: they could say what no header may. */
export function makeForwarder(options: ForwarderOptions): Forwarder {
  const silenceMs = options.silenceMs ?? defaultSilenceMs;
  const both = {
    pipelining: 1,
    headersTimeout: silenceMs,
    bodyTimeout: silenceMs,
    // Shorter than a forge's own, so that it does not close what is just being used.
    keepAliveTimeout: 30_000,
    maxHeaderSize: answerHeaderBytes,
  };
  const { ca } = options;
  const ends: Ends = {
    forge: new Pool(options.upstream, {
      ...both,
      connections: options.connections ?? null,
      ...(ca === undefined ? {} : { connect: { ca } }),
    }),
    storage: new Agent({ ...both, ...(ca === undefined ? {} : { connect: { ca: [...rootCertificates, ca] } }) }),
  };
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
    upgrade: (request, socket, head) => tunnel(options, request, socket, head),
    async close() {
      await Promise.all([ends.forge.destroy(), ends.storage.destroy()]);
    },
  };
}
