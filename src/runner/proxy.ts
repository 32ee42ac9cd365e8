import { Agent, type Dispatcher, EnvHttpProxyAgent } from 'undici';

/** What both kinds of agent take. */
interface AgentSettings {
  readonly headersTimeout: number;
  readonly bodyTimeout: number;
  /** PEM of the server's authority; undefined = what this machine trusts. */
  readonly ca: string | undefined;
}

const connectMs = 30_000;

/**
 * Connections to one server: through HTTP_PROXY or HTTPS_PROXY, upper or lower case, where NO_PROXY does not name it. As for gitlab-runner, what is on this machine
 * is never asked for through a proxy, and a proxy for http is none for https.
 */
export function agentFor(url: URL, { ca, ...timeouts }: AgentSettings): Dispatcher {
  const tls = ca === undefined ? {} : { ca };
  const connect = { timeout: connectMs, ...tls };
  const proxy = proxyFor(url);
  if (proxy === undefined) return new Agent({ ...timeouts, connect });
  return new EnvHttpProxyAgent({ ...timeouts, connect, requestTls: tls, connectTimeout: connectMs, httpProxy: proxy, httpsProxy: proxy });
}

function proxyFor({ protocol, hostname }: URL): string | undefined {
  if (hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname)) return undefined;
  const names = protocol === 'https:' ? ['https_proxy', 'HTTPS_PROXY'] : ['http_proxy', 'HTTP_PROXY'];
  const found = names.map((name) => process.env[name] ?? '').find((value) => value !== '');
  // As curl and Go have it, a name alone is that of an http proxy.
  return found === undefined || found.includes('://') ? found : `http://${found}`;
}
