/** Lays rows out in columns of equal width, with a rule below the first. Cells are plain text. */
export function table(rows: readonly (readonly string[])[], indent = '  '): string {
  const widths: number[] = [];
  for (const row of rows) for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  const line = (row: readonly string[]): string =>
    (indent + row.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join('  ')).trimEnd();
  const [head = [], ...body] = rows;
  return [line(head), indent + widths.map((width) => '─'.repeat(width)).join('  '), ...body.map(line)].join('\n');
}
