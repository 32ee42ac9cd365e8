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
/** What each of them begins with. Almost no line has one, and looking for these costs a tenth. */
const tokenMarks = ['jpt_', 'jrt_', 'glpat-', 'glcbt-', 'glrt-'];

/** Replaces anything shaped like a token by its prefix and `[MASKED]`. */
export function redactTokens(text: string): string {
  if (!tokenMarks.some((mark) => text.includes(mark))) return text;
  return text.replace(tokenShape, '$1[MASKED]');
}

const noFields: LogFields = {};

/** @param write receives one line without its newline; by default standard error, once in a turn of the event loop and at the process's end. */
export function jsonLog(write: (line: string) => void = inTurns(), base: LogFields = noFields): Log {
  const emit = (level: string, event: string, fields: LogFields = {}, cause?: unknown): void => {
    const error = cause === undefined ? {} : { error: describe(cause) };
    // A server writes one for each request: spreading its fields into another object costs as much as the rest of the line.
    const rest = cause === undefined && base === noFields ? fields : { ...base, ...fields, ...error };
    const text = JSON.stringify(rest);
    write(
      redactTokens(
        `{"time":"${timeText()}","level":"${level}","event":${JSON.stringify(event)}${text === '{}' ? '' : ','}${text.slice(1)}`,
      ),
    );
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

const waitingChars = 64 * 1024;

/** Lines of one turn go out in one system call: a server writes one for each request. */
function inTurns(): (line: string) => void {
  let waiting = '';
  const flush = (): void => {
    const text = waiting;
    waiting = '';
    if (text !== '') process.stderr.write(text);
  };
  process.on('exit', flush);
  return (line) => {
    if (waiting === '') setImmediate(flush);
    waiting += `${line}\n`;
    if (waiting.length > waitingChars) flush();
  };
}

let [lastSecond, secondText] = [0, ''];

/** As `toISOString` says it, which is asked once in a second. */
function timeText(): string {
  const now = Date.now();
  const second = Math.floor(now / 1000);
  if (second !== lastSecond) [lastSecond, secondText] = [second, new Date(second * 1000).toISOString().slice(0, -4)];
  return `${secondText}${String(now - second * 1000).padStart(3, '0')}Z`;
}

function describe(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const inner = cause.cause === undefined ? '' : ` <- ${describe(cause.cause)}`;
  return `${cause.stack ?? cause.message}${inner}`;
}
