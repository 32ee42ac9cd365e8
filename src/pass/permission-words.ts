import { ceilingLimits, isPermissionPattern, wordsOf } from '../policy/ceiling.ts';

/** Permissions as people write them, `code:download release:*`. @returns `odd`: the first word that names none */
export function permissionWords(text: string): { readonly words: readonly string[] } | { readonly odd: string } {
  const words = wordsOf(text);
  const odd = words.length > ceilingLimits.entries ? words[ceilingLimits.entries] : words.find((word) => !isPermissionPattern(word));
  return odd === undefined ? { words } : { odd: odd.slice(0, 100) };
}
