import type { CiRule } from './ci-file.ts';
import { isFields, scalarText } from './fields.ts';
import { readAutoCancel, readInterruptible, readStartIn } from './read-flow.ts';
import { readChanges, readExists } from './read-globs.ts';
import { readNeeds } from './read-needs.ts';
import { readRawVariables, readVariables } from './read-variables.ts';
import { readWhen } from './read-when.ts';
import type { PartReader } from './reader.ts';

/** Lists in lists. */
const deepest = 10;

/** @see GitLab, CI/CD YAML syntax reference: `rules` */
export function readRules(
  value: unknown,
  path: readonly string[],
  outer: PartReader,
  place: 'rule' | 'workflow_rule' | 'include_rule' = 'rule',
): readonly CiRule[] {
  if (!Array.isArray(value)) {
    outer.error(path, '`rules` must be a list');
    return [];
  }
  const reader = outer.within('rules');
  return withoutNesting(value, path).flatMap(({ rule, at }) => {
    if (!isFields(rule)) {
      outer.error(at, 'each rule must be a map');
      return [];
    }
    reader.checkKeys(rule, place, at);
    const parsed = rule['if'] === undefined ? undefined : reader.expression(scalarText(rule['if']));
    if (parsed?.ok === false) outer.error([...at, 'if'], `rules:if: ${parsed.message}`);
    const allowFailure = rule['allow_failure'];
    if (allowFailure !== undefined && typeof allowFailure !== 'boolean')
      reader.error([...at, 'allow_failure'], '`allow_failure` must be true or false');
    return [
      {
        ...(parsed?.ok === true ? { if: parsed.expression } : {}),
        ...(rule['changes'] === undefined ? {} : { changes: readChanges(rule['changes'], [...at, 'changes'], reader) }),
        ...(rule['exists'] === undefined ? {} : { exists: readExists(rule['exists'], [...at, 'exists'], reader) }),
        ...(rule['when'] === undefined ? {} : readWhen(rule['when'], [...at, 'when'], reader)),
        ...(typeof allowFailure === 'boolean' ? { allowFailure } : {}),
        ...(rule['start_in'] === undefined ? {} : readStartIn(rule['start_in'], [...at, 'start_in'], reader)),
        ...(rule['interruptible'] === undefined ? {} : readInterruptible(rule['interruptible'], [...at, 'interruptible'], reader)),
        ...(rule['auto_cancel'] === undefined ? {} : { autoCancel: readAutoCancel(rule['auto_cancel'], [...at, 'auto_cancel'], reader) }),
        variables: readVariables(rule['variables'], [...at, 'variables'], reader),
        ...(rule['needs'] === undefined ? {} : { needs: readNeeds(rule['needs'], [...at, 'needs'], reader) }),
        ...readRawVariables(rule['variables']),
      },
    ];
  });
}

/** As GitLab: a list among the rules is their part, so that `!reference` puts the rules of another job between one's own. */
function withoutNesting(
  value: readonly unknown[],
  path: readonly string[],
  depth = 0,
): readonly { readonly rule: unknown; readonly at: readonly string[] }[] {
  return value.flatMap((rule: unknown, index) => {
    const at = [...path, String(index)];
    return Array.isArray(rule) && depth < deepest ? withoutNesting(rule, at, depth + 1) : [{ rule, at }];
  });
}
