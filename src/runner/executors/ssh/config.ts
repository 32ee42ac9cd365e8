import { isAbsolute, join } from 'node:path';
import { JobpassError } from '../../../base/errors.ts';
import { flagIn, type Table, textIn, valueIn } from '../../parsed.ts';

/** `[runners.ssh]` of gitlab-runner's config.toml. */
export interface SshConfig {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Absolute path of the private key. */
  readonly identityFile: string;
  /** Undefined = ssh's own. */
  readonly knownHostsFile: string | undefined;
  /** False: whoever answers is taken for the host. */
  readonly strictHostKey: boolean;
}

const known = new Set(['host', 'port', 'user', 'password', 'identity_file', 'known_hosts_file', 'disable_strict_host_key_checking']);

/** @param folder of config.toml, for relative paths @throws invalid_input, unsupported */
export function parseSsh(table: Table, folder: string): SshConfig {
  for (const key of Object.keys(table))
    if (!known.has(key)) throw new JobpassError('invalid_input', `[runners.ssh] ${key}: this runner does not have that; take it out.`);
  if ((textIn(table, 'password') ?? '') !== '')
    throw new JobpassError(
      'unsupported',
      '[runners.ssh] password: logging in with a password is not supported, because it would have to be handed to another program; use identity_file.',
    );
  const within = (path: string): string => (isAbsolute(path) ? path : join(folder, path));
  // Neither may be read as a flag by ssh (A39).
  const host = shaped(table, 'host', /^[A-Za-z0-9](?:[A-Za-z0-9._:-]*[A-Za-z0-9])?$/);
  const user = shaped(table, 'user', /^[A-Za-z_][\w.-]*$/);
  const port = Number(valueIn(table, 'port') ?? 22);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new JobpassError('invalid_input', '[runners.ssh] port is no port.');
  const identity = textIn(table, 'identity_file') ?? '';
  if (identity === '') throw new JobpassError('invalid_input', '[runners.ssh] needs identity_file, a private key without a passphrase.');
  const hosts = textIn(table, 'known_hosts_file') ?? '';
  return {
    host,
    port,
    user,
    identityFile: within(identity),
    knownHostsFile: hosts === '' ? undefined : within(hosts),
    strictHostKey: flagIn(table, 'disable_strict_host_key_checking') !== true,
  };
}

function shaped(table: Table, key: string, shape: RegExp): string {
  const text = textIn(table, key) ?? '';
  if (text.length > 255 || !shape.test(text)) throw new JobpassError('invalid_input', `[runners.ssh] ${key} is missing or malformed.`);
  return text;
}
