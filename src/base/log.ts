/** Fields of a log line: ids and codes, never contents or secrets. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** JSON lines with a stable event name such as `pass.issued`. */
export interface Log {
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields, cause?: unknown): void;
  /** A log that adds `fields` to every line. */
  with(fields: LogFields): Log;
}

// A last line of defence: whatever looks like one of our tokens never reaches a log (R6).
const tokenShape = /\b(jpt_[xfn]|jrt_|glpat-|glcbt-|glrt-)[A-Za-z0-9_-]{4,}/g;

/** Replaces anything shaped like a token by its prefix and `[MASKED]`. */
export function redactTokens(text: string): string {
  return text.replace(tokenShape, '$1[MASKED]');
}

/** @param write receives one line without its newline; by default standard error. */
export function jsonLog(write: (line: string) => void = (line) => process.stderr.write(`${line}\n`), base: LogFields = {}): Log {
  const emit = (level: string, event: string, fields: LogFields = {}, cause?: unknown): void => {
    const error = cause === undefined ? {} : { error: describe(cause) };
    write(redactTokens(JSON.stringify({ time: new Date().toISOString(), level, event, ...base, ...fields, ...error })));
  };
  return {
    info: (event, fields) => emit('info', event, fields),
    warn: (event, fields) => emit('warn', event, fields),
    error: (event, fields, cause) => emit('error', event, fields, cause),
    with: (fields) => jsonLog(write, { ...base, ...fields }),
  };
}

/** A log that drops everything; for tests and one-shot commands. */
export const silentLog: Log = { info: () => {}, warn: () => {}, error: () => {}, with: () => silentLog };

function describe(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const inner = cause.cause === undefined ? '' : ` <- ${describe(cause.cause)}`;
  return `${cause.stack ?? cause.message}${inner}`;
}
