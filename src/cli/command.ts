import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { JobpassError } from '../base/errors.ts';
import { envName, placeProblem, type Setting } from './config.ts';

/** A command of `jobpass`. */
export interface Command {
  help(): string;
  /** @returns the exit code: 0 fine, 1 failed, 2 wrong use */
  run(args: readonly string[], io: Io): Promise<number>;
}

export interface Io {
  out(text: string): void;
  readonly terminal: boolean;
  /** Resolves with the next SIGINT, SIGTERM or SIGQUIT; those that come along with it, from whoever waits for this process, are not the next. */
  stopped(): Promise<string>;
}

/** A wrong use of the command line: exit code 2, with a hint. */
export class UsageError extends Error {}

const manifest: { version: string } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
export const version = manifest.version;

export interface Flags {
  readonly values: Readonly<Record<string, string | boolean | readonly string[] | undefined>>;
  readonly positionals: readonly string[];
  text(name: string): string | undefined;
  /** @throws usage */
  required(name: string): string;
  flag(name: string): boolean;
}

/** @param texts names of further options with a value @param switches names of further options without */
export function parseFlags(
  args: readonly string[],
  settings: readonly Setting[],
  texts: readonly string[] = [],
  switches: readonly string[] = [],
  positionals = false,
): Flags {
  const options: Record<string, { type: 'string' | 'boolean'; multiple?: boolean }> = {};
  for (const { name, kind } of settings) options[name] = { type: kind === 'flag' ? 'boolean' : 'string', multiple: kind === 'list' };
  for (const name of texts) options[name] = { type: 'string' };
  for (const name of switches) options[name] = { type: 'boolean' };
  try {
    const parsed = parseArgs({ args: [...args], options, strict: true, allowPositionals: positionals });
    const values = parsed.values as Flags['values'];
    const text = (name: string): string | undefined => {
      const value = values[name];
      return typeof value === 'string' ? value : undefined;
    };
    return {
      values,
      positionals: parsed.positionals,
      text,
      required: (name) => text(name) ?? usage(`--${name} is missing`),
      flag: (name) => values[name] === true,
    };
  } catch (error) {
    throw new UsageError(misuse(error));
  }
}

/** What Node.js says of a wrong flag, short: it goes on about positional arguments, which no command of ours takes in that way. */
function misuse(error: unknown): string {
  const [words = 'wrong use'] = error instanceof Error ? error.message.split(/[\n.]/, 1) : [];
  return words
    .replace(/^Unknown option/, 'there is no option')
    .replace(/^Option '(--[\w-]+) <value>' argument missing$/, '$1 wants a value');
}

/** @throws UsageError */
export function usage(message: string): never {
  throw new UsageError(message);
}

/** The options part of a help text. */
export function describeSettings(settings: readonly Setting[]): string {
  return settings
    .map(
      ({ name, value, about, fallback }) =>
        `  ${`--${name}${value === undefined ? '' : ` ${value}`} `.padEnd(24)}${about}${fallback === undefined ? '' : ` (default ${fallback})`}; ${envName(name)}`,
    )
    .join('\n');
}

/** What a person reads for an error; never a stack, never a secret. */
export function errorLine(error: unknown): string {
  if (error instanceof JobpassError) {
    const told = error.code === 'internal' || error.code === 'store_unavailable';
    const cause = told && error.cause instanceof Error ? ` (${error.cause.message})` : '';
    return error.message + cause;
  }
  if (error instanceof Error) {
    const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
    if (code === 'EADDRINUSE') return `${addressIn(error)} is in use: choose another --listen.`;
    if (code === 'EADDRNOTAVAIL') return `${addressIn(error)} is no address of this machine: choose another --listen.`;
    if (code === 'EACCES' && 'port' in error) return `${addressIn(error)} may not be taken by this user: choose another --listen.`;
    if (code === 'ECONNREFUSED') return 'The server does not answer: is it running, and is the URL right?';
    if (code === 'ENOTFOUND' && 'hostname' in error) return `There is no host ${String(error.hostname)}.`;
    if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'EPROTO') return 'The server does not speak TLS there: is the URL http://?';
    if (untrusted.has(code))
      return "The server's certificate is of an authority that this machine does not know: name its file in NODE_EXTRA_CA_CERTS, or a runner's by --tls-ca-file.";
    return placeProblem(error) ?? error.message;
  }
  return String(error);
}

const untrusted = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/** Of a failed `listen`: `127.0.0.1:8929`. */
function addressIn(error: Error): string {
  const address = 'address' in error ? String(error.address) : 'the address';
  const port = 'port' in error ? String(error.port) : '';
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}
