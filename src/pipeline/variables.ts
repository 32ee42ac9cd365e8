const maxDepth = 10;
const maxLength = 1024 * 1024;

/** Expands `$NAME`, `${NAME}` and `$$`; an unknown name becomes nothing, a cycle or too deep a nesting stays as it stands. */
export function expandVariables(text: string, variables: ReadonlyMap<string, string>, depth = 0): string {
  if (depth >= maxDepth || !text.includes('$')) return text;
  const expanded = text.replaceAll(
    /\$(?:\$|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})/g,
    (whole, plain: string | undefined, braced: string | undefined) => {
      const name = plain ?? braced;
      if (name === undefined) return '$';
      const value = variables.get(name) ?? '';
      return value === whole ? whole : expandVariables(value, variables, depth + 1);
    },
  );
  return expanded.length > maxLength ? text : expanded;
}
