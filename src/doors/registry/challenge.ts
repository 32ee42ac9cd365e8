import type { ImageAction } from '../../ports/registry-tokens.ts';
import { isRepositoryName } from './names.ts';

export const service = 'container_registry';

/** One thing that a token is asked for. @see distribution, "Token scope documentation" */
export interface ScopeRequest {
  readonly name: string;
  readonly actions: readonly ImageAction[];
}

const limitOfScopes = 20;

/**
 * `repository:<name>:pull,push`, several separated by spaces or given several times; `*` stands for all three. What is not asked of a
 * repository (the catalog, plugins) is dropped, as everything that is not granted is.
 * @returns undefined for more scopes than anybody needs
 */
export function parseScopes(texts: readonly string[]): readonly ScopeRequest[] | undefined {
  const words = texts.flatMap((text) => text.split(' ')).filter((word) => word !== '');
  if (words.length > limitOfScopes) return undefined;
  return words.flatMap((word) => {
    const match = /^repository(?:\([a-z]+\))?:([^:]+):([a-z*,]*)$/.exec(word);
    const [, name = '', actions = ''] = match ?? [];
    if (!isRepositoryName(name)) return [];
    const wanted = new Set(actions.split(','));
    const all = wanted.has('*');
    const known = (['pull', 'push', 'delete'] as const).filter((action) => all || wanted.has(action));
    return known.length === 0 ? [] : [{ name, actions: known }];
  });
}

/**
 * The 401's header. The realm is an address that the operator configured, never the request's own Host (A17).
 * @param origin such as `https://forge.example`
 */
export function challenge(origin: string, scope?: string, error?: 'invalid_token' | 'insufficient_scope'): string {
  const parts = [`realm="${origin}/jwt/auth"`, `service="${service}"`];
  if (scope !== undefined) parts.push(`scope="${scope}"`);
  if (error !== undefined) parts.push(`error="${error}"`);
  return `Bearer ${parts.join(',')}`;
}
