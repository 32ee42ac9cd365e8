/** A file's parts: the header with `spec`, and what stands below it on the lines where it stood. */
export interface HeadedFile {
  readonly header?: string;
  readonly body: string;
}

const marker = /^---(?=[ \t]|\r?$)/gm;

/**
 * Parts a file at its line of `---`. One at the top begins the file and parts nothing.
 * @returns undefined where there are more than two documents
 */
export function partHeader(text: string): HeadedFile | undefined {
  if (!text.includes('---')) return { body: text };
  const marks = [...text.matchAll(marker)].map(({ index }) => index);
  const begun = marks[0] !== undefined && isBlank(text.slice(0, marks[0])) ? marks.slice(1) : marks;
  const [end, ...others] = begun;
  if (end === undefined) return { body: text };
  if (others.length > 0) return undefined;
  const header = text.slice(0, end);
  return { header, body: `${header.replaceAll(/[^\n]/g, '')}${text.slice(end)}` };
}

/** Comments, directives and empty lines. */
function isBlank(text: string): boolean {
  return text.split('\n').every((line) => /^\s*(?:$|[#%])/.test(line));
}
