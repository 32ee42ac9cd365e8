/** An image reference, taken apart as docker does it. @see distribution/reference */
export interface ImageReference {
  /** `host[:port]`, lower case; `docker.io` where none is written. */
  readonly registry: string;
  /** Path of the repository. */
  readonly path: string;
  /** `tag` and `digest` as written. */
  readonly tag: string | undefined;
  readonly digest: string | undefined;
  /** The whole, with `latest` where neither was written. */
  readonly full: string;
  /** As `full`, with registry and `library/`: what the engine is asked for, since podman looks for a short name in all repositories that end so. */
  readonly qualified: string;
  /** Registry and path, as they are when nothing is left out. */
  readonly repository: string;
}

const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const pathShape = new RegExp(`^${component}(?:/${component})*$`);
const hostShape =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?$/;

/** @returns undefined where docker would not take it, or could read it otherwise than we do (A52) */
export function parseReference(text: string): ImageReference | undefined {
  if (text.length > 1024) return undefined;
  const match = /^([^@]+?)(?::([A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$/.exec(text);
  if (match === null) return undefined;
  const [, name = '', tag, digest] = match;
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  // The first part is a host only where it looks like one: with a dot, a colon or upper case, or `localhost`.
  const hosted = first === 'localhost' || /[.:A-Z[]/.test(first);
  const registry = hosted ? first : 'docker.io';
  const path = hosted ? name.slice(slash + 1) : name;
  if (hosted && !hostShape.test(first)) return undefined;
  if (!pathShape.test(path)) return undefined;
  const full = tag === undefined && digest === undefined ? `${text}:latest` : text;
  const hub = registry === 'docker.io' || registry === 'index.docker.io';
  const whole = hub && !path.includes('/') ? `library/${path}` : path;
  return {
    registry: registry.toLowerCase(),
    path,
    tag,
    digest,
    full,
    qualified: `${registry}/${whole}${full.slice(name.length)}`,
    repository: `${hub ? 'docker.io' : registry.toLowerCase()}/${whole}`,
  };
}

/**
 * True where an image that the engine has is really the one that was named: podman takes any whose name ends alike, or whose digest is the same in
 * another repository, and so would give a job what only others may pull (R8, A34).
 * @param tags RepoTags of the engine, and RepoDigests
 */
export function isNamed(reference: ImageReference, tags: readonly string[], digests: readonly string[]): boolean {
  const { repository, digest, tag = 'latest' } = reference;
  const names = (digest === undefined ? tags : digests).map(parseReference).filter((one) => one?.repository === repository);
  return names.some((one) => (digest === undefined ? one?.tag === tag : one?.digest === digest));
}

/** True where the image lies in one of these registries: the only places that ever see the fetch pass (A52). */
export function isIn(reference: ImageReference, registries: readonly string[]): boolean {
  return registries.some((one) => one.toLowerCase() === reference.registry);
}

/** Names under which a service is found on the job's network: its aliases, else gitlab-runner's two forms of the image's name. */
export function serviceNames(reference: ImageReference | undefined, text: string, aliases: readonly string[]): readonly string[] {
  const given = aliases.filter((alias) => /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(alias));
  const name =
    reference === undefined
      ? text
      : `${reference.registry === 'docker.io' ? '' : `${reference.registry.replace(/:\d+$/, '')}/`}${reference.path}`;
  return [...new Set([name.replaceAll('/', '__'), name.replaceAll('/', '-'), ...given])];
}
