import {
  type GroupId,
  type JobId,
  parseId,
  type PipelineId,
  type ProjectId,
  type RunnerId,
  type TokenId,
  type UserId,
  type EpochMillis,
  millis,
} from '../../base/ids.ts';

/** What the forge says, read without belief in its shape. */
export type Fields = Readonly<Record<string, unknown>>;

export function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}

export function listOf(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.map(fieldsOf) : [];
}

export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

export function idOf<Id extends GroupId | JobId | PipelineId | ProjectId | RunnerId | TokenId | UserId>(value: unknown): Id | undefined {
  return typeof value === 'number' ? parseId<Id>(String(value)) : undefined;
}

/** @returns null for what is no time */
export function timeOf(value: unknown): EpochMillis | null {
  const time = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(time) ? null : millis(time);
}
