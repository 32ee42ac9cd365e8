/** An image reference, taken apart as docker does it. @see distribution/reference */
export interface ImageReference {
  /** `host[:port]`, lower case; `docker.io` where none is written. */
  readonly registry: string;
  /** Path of the repository. */
  readonly path: string;
  /** `tag` and `digest` as written. */
  readonly tag: string | undefined;
  readonly digest: string | undefined;
  /** The whole, with `latest` where neither was written: what the engine is asked for. */
  readonly full: string;
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
  return {
    registry: registry.toLowerCase(),
    path,
    tag,
    digest,
    full: tag === undefined && digest === undefined ? `${text}:latest` : text,
  };
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
