import { type Finding, whoseRights } from '../forge/gitlab/doctor.ts';
import type { Io } from './command.ts';
import { printed } from './gateway-doctor.ts';
import type { listenConfig } from './server-settings.ts';

type Settings = ReturnType<typeof listenConfig>;

/** `jobpass serve doctor`: what these settings give up. 0 = nothing to change, or only warnings; 1 = it would not work. */
export function runServeDoctor(settings: Settings, io: Io, json: boolean): number {
  const findings = [...whoseRights(settings), transport(settings), exposure(settings), store(settings)];
  io.out(json ? `${JSON.stringify({ findings })}\n` : printed(findings, io.terminal));
  return findings.some(({ level }) => level === 'problem') ? 1 : 0;
}

const here = /^(?:127(?:\.\d{1,3}){3}|::1|localhost)$/;

/** R16 */
function transport({ listen, tls, allowPlainHttp, externalUrls }: Settings): Finding {
  const what = 'transport';
  if (tls !== undefined) return { level: 'ok', what, says: 'TLS on every address' };
  const outside = listen.map(({ host }) => host).filter((host) => !here.test(host));
  if (allowPlainHttp && outside.length > 0)
    return {
      level: 'warning',
      what,
      says: `passes may travel in clear to ${outside.join(', ')}: whoever is on the way has the rights of whoever started the job`,
      advice: 'Give --tls-cert and --tls-key, and leave --allow-plain-http for a lab.',
    };
  if (outside.length > 0)
    return {
      level: 'problem',
      what,
      says: `${outside.join(', ')} without TLS: no pass is issued or accepted there`,
      advice: 'Give --tls-cert and --tls-key, or listen on 127.0.0.1 behind something that has them.',
    };
  if (externalUrls.some((url) => url.startsWith('http:') && !here.test(new URL(url).hostname.replace(/^\[|\]$/g, ''))))
    return {
      level: 'warning',
      what,
      says: 'an external URL is plain HTTP: what is in front of this server shows passes on the way',
      advice: 'Let what is in front speak TLS, and name it by https.',
    };
  return { level: 'ok', what, says: 'this machine only' };
}

/** R7 */
function exposure({ maxExposure }: Settings): Finding {
  const says =
    maxExposure === 'withhold' ? 'no job sees its pass' : `a job may be shown its pass (${maxExposure}), where its runner keeps others out`;
  return { level: 'ok', what: 'exposure', says };
}

/** DESIGN §6 */
function store({ database }: Settings): Finding {
  const says = database === undefined ? 'SQLite: one process' : 'PostgreSQL: any number of processes, which share --data as well';
  return { level: 'ok', what: 'store', says };
}
