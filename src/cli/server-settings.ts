import { readFileSync } from 'node:fs';
import { JobpassError } from '../base/errors.ts';
import type { Listen } from '../doors/http.ts';
import type { Setting, Values } from './config.ts';

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

function tlsOf(cert: string | undefined, key: string | undefined): { cert: string; key: string } | undefined {
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) throw new JobpassError('invalid_input', '--tls-cert and --tls-key go together.');
  return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
}

function oneOf<Word extends string>(name: string, value: string | undefined, words: readonly Word[]): Word {
  const word = words.find((one) => one === value);
  if (word === undefined) throw new JobpassError('invalid_input', `--${name} is one of ${words.join(', ')}.`);
  return word;
}
