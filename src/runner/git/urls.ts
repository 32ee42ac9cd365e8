import { JobpassError } from '../../base/errors.ts';

const maxUrlLength = 2048;

/**
 * The clean form of a repository's http(s) address: no userinfo (R6), default port dropped, so that its origin compares exactly (A51).
 * @throws invalid_input for anything else
 */
export function repositoryUrl(text: string): URL {
  // URL parsers mend `https:///host` and hide coded line ends; git might read either otherwise.
  const strict = plainText(text) && /^https?:\/\/[^/]/.test(text) && !/%(?:[01][0-9a-f]|7f)/i.test(text);
  const url = strict && URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol) || url.hostname === '' || url.search !== '' || url.hash !== '')
    throw new JobpassError('invalid_input', 'The address of a repository is not a plain http(s) URL.');
  url.username = '';
  url.password = '';
  return url;
}

/** No control bytes, no white space, no backslash: nothing that git, a credential helper or a shell could read as something else (A18, A20). */
export function plainText(text: string): boolean {
  return text.length > 0 && text.length <= maxUrlLength && /^[\u0021-\u007e\u00a0-\uffff]+$/.test(text) && !text.includes('\\');
}

/**
 * The address of a submodule as git resolves it: `./` and `../` against the superproject's own.
 * @returns undefined where it is not a plain http(s) address
 */
export function submoduleUrl(superproject: URL, text: string): URL | undefined {
  if (!plainText(text)) return undefined;
  try {
    if (/^\.\.?\//.test(text)) return repositoryUrl(`${superproject.origin}${relative(superproject.pathname, text)}`);
    // Userinfo in a committed address is nobody's we know, and makes look-alikes (A51).
    if (!URL.canParse(text) || text.includes('@')) return undefined;
    return repositoryUrl(text);
  } catch (error) {
    if (error instanceof JobpassError) return undefined;
    throw error;
  }
}

function relative(basePath: string, text: string): string {
  let base = basePath.replace(/\/+$/, '');
  let rest = text.replace(/\/+$/, '');
  for (;;) {
    if (rest.startsWith('./')) rest = rest.slice(2);
    else if (rest.startsWith('../')) {
      if (base === '') throw new JobpassError('invalid_input', 'The address leaves its server.');
      rest = rest.slice(3);
      base = base.slice(0, base.lastIndexOf('/'));
    } else return `${base}/${rest}`;
  }
}

/** `git@host:path` and `ssh://git@host[:port]/path` of the forge's own host as https, as gitlab-runner does for GIT_SUBMODULE_FORCE_HTTPS. */
export function forceHttps(text: string, sshHost: string, httpBase: string): string {
  const scp = /^git@([^:/]+):(?!\/)(.+)$/.exec(text);
  if (scp !== null && scp[1] === sshHost) return `${httpBase}/${scp[2] ?? ''}`;
  const ssh = /^ssh:\/\/git@([^:/]+)(?::\d{1,5})?\/(.+)$/.exec(text);
  if (ssh !== null && ssh[1] === sshHost) return `${httpBase}/${ssh[2] ?? ''}`;
  return text;
}
