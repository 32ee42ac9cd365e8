import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { JobpassError } from '../base/errors.ts';
import type { Listen } from '../doors/http.ts';
import { readNamed, type Setting, type Values } from './config.ts';

/** What every command that listens can be told. */
export const listenSettings: readonly Setting[] = [
  { name: 'listen', kind: 'list', value: 'HOST:PORT', fallback: '127.0.0.1:8929', about: 'where to listen; may be given several times' },
  {
    name: 'external-url',
    kind: 'list',
    value: 'URL',
    about: 'how others reach it, where that differs; the first of several is what jobs and links get',
  },
  { name: 'registry-url', kind: 'text', value: 'URL', about: 'how images are named, where that is another of its addresses' },
  { name: 'database', kind: 'text', value: 'URL', about: 'postgres://… instead of SQLite below --data' },
  { name: 'tls-cert', kind: 'text', value: 'FILE', about: 'certificate chain (PEM)' },
  { name: 'tls-key', kind: 'text', value: 'FILE', about: 'its key (PEM)' },
  { name: 'allow-plain-http', kind: 'flag', about: 'let passes travel over plain HTTP beyond this machine' },
];

/** What every command that issues passes can be told. */
export const passSettings: readonly Setting[] = [
  {
    name: 'max-exposure',
    kind: 'text',
    value: 'WORD',
    fallback: 'replace',
    about: 'widest exposure of any job: withhold, variable or replace',
  },
  {
    name: 'principals',
    kind: 'text',
    value: 'WORD',
    fallback: 'intersect',
    about: "whose rights a pass has: intersect, or starter (looks at nobody else's hand in the job)",
  },
];

export function textIn(values: Values, name: string): string | undefined {
  const value = values.get(name);
  return typeof value === 'string' ? value : undefined;
}

export function listIn(values: Values, name: string): readonly string[] {
  const value = values.get(name);
  return Array.isArray(value) ? value : [];
}

/** The settings above, parsed. @throws invalid_input */
export function listenConfig(values: Values) {
  const registryUrl = textIn(values, 'registry-url');
  return {
    listen: parseListen(listIn(values, 'listen')),
    database: textIn(values, 'database'),
    externalUrls: listIn(values, 'external-url').map((url) => originOf('external-url', url)),
    registryUrl: registryUrl === undefined ? undefined : originOf('registry-url', registryUrl),
    tls: tlsOf(textIn(values, 'tls-cert'), textIn(values, 'tls-key')),
    allowPlainHttp: values.get('allow-plain-http') === true,
    maxExposure: oneOf('max-exposure', textIn(values, 'max-exposure'), ['withhold', 'variable', 'replace']),
    principals: oneOf('principals', textIn(values, 'principals'), ['intersect', 'starter']),
  };
}

/** @throws invalid_input */
export function originOf(name: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol) || url.pathname !== '/' || url.username !== '' || url.search !== '')
    throw new JobpassError('invalid_input', `--${name} is http(s)://HOST[:PORT], without a path.`);
  return url.origin;
}

function parseListen(texts: readonly string[]): readonly [Listen, ...Listen[]] {
  const [first, ...rest] = texts.map((text) => {
    const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
    const port = Number(match?.[3] ?? -1);
    if (match === null || port > 65_535) throw new JobpassError('invalid_input', '--listen is HOST:PORT, such as 127.0.0.1:8929.');
    return { host: match[1] ?? match[2] ?? '', port };
  });
  if (first === undefined) throw new JobpassError('invalid_input', '--listen is HOST:PORT, such as 127.0.0.1:8929.');
  return [first, ...rest];
}

/** Read once more by TLS itself, so that a wrong one is named here and not by a library's number. @throws invalid_input */
function tlsOf(certFile: string | undefined, keyFile: string | undefined): { cert: string; key: string } | undefined {
  if (certFile === undefined && keyFile === undefined) return undefined;
  if (certFile === undefined || keyFile === undefined) throw new JobpassError('invalid_input', '--tls-cert and --tls-key go together.');
  const cert = readNamed('tls-cert', certFile);
  const key = readNamed('tls-key', keyFile);
  taken(`--tls-cert: ${certFile} holds no certificate (PEM).`, () => new X509Certificate(cert));
  taken(`--tls-key: ${keyFile} holds no private key without a passphrase (PEM).`, () => createPrivateKey(key));
  taken(`--tls-cert and --tls-key do not belong together, or cannot be used: ${certFile}, ${keyFile}.`, () =>
    createSecureContext({ cert, key }),
  );
  return { cert, key };
}

/** The text of a file with an authority. @throws invalid_input */
export function authorityIn(name: string, path: string): string {
  const text = readNamed(name, path);
  taken(`--${name}: ${path} holds no certificate (PEM).`, () => new X509Certificate(text));
  return text;
}

function taken(message: string, take: () => unknown): void {
  try {
    take();
  } catch (error) {
    throw new JobpassError('invalid_input', message, error);
  }
}

function oneOf<Word extends string>(name: string, value: string | undefined, words: readonly Word[]): Word {
  const word = words.find((one) => one === value);
  if (word === undefined) throw new JobpassError('invalid_input', `--${name} is one of ${words.join(', ')}.`);
  return word;
}
