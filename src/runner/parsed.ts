/** Careful reading of parsed TOML and JSON: a value of the wrong type counts as absent. */
export type Table = Readonly<Record<string, unknown>>;

export function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** Own keys only, so that `__proto__` and friends mean nothing. */
export function valueIn(table: Table, key: string): unknown {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

export function textIn(table: Table, key: string): string | undefined {
  const value = valueIn(table, key);
  return typeof value === 'string' ? value : undefined;
}

export function numberIn(table: Table, key: string): number | undefined {
  const value = valueIn(table, key);
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

export function flagIn(table: Table, key: string): boolean | undefined {
  const value = valueIn(table, key);
  return typeof value === 'boolean' ? value : undefined;
}

/** RFC 3339 text, or a time of TOML. Go's zero time, the year 1, means none. */
export function timeIn(table: Table, key: string): Date | undefined {
  const value = valueIn(table, key);
  const time = value instanceof Date ? value.getTime() : typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return time > 0 ? new Date(time) : undefined;
}

export function tableIn(table: Table, key: string): Table | undefined {
  const value = valueIn(table, key);
  return isTable(value) ? value : undefined;
}

/** The tables of a list; anything else in it is skipped. */
export function tablesIn(table: Table, key: string): readonly Table[] {
  const value = valueIn(table, key);
  return Array.isArray(value) ? value.filter(isTable) : [];
}

export function textsIn(table: Table, key: string): readonly string[] {
  const value = valueIn(table, key);
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
}
