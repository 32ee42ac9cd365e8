import { hiddenIn } from './given.ts';
import type { InputValue } from './inputs.ts';
import { shorten } from './reader.ts';

/** Variables as `include` knows them. */
export interface FunctionContext {
  readonly shown: ReadonlyMap<string, string>;
  readonly inRules: ReadonlyMap<string, string>;
}
type Result = { readonly value: InputValue } | { readonly error: string };

const variable = /\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})/g;

/** Does what stands behind the pipes of a block. @see GitLab, "Specify functions to manipulate input values" */
export function applyFunctions(functions: readonly string[], value: InputValue, context: FunctionContext): Result {
  let result: Result = { value };
  for (const text of functions) {
    if ('error' in result) return result;
    result = apply(text, result.value, context);
  }
  return result;
}

function apply(text: string, value: InputValue, context: FunctionContext): Result {
  const cut = /^truncate\(\s*(\d{1,9})\s*,\s*(\d{1,9})\s*\)$/.exec(text);
  const name = cut === null ? text : 'truncate';
  if (name !== 'truncate' && name !== 'expand_vars' && name !== 'posix_escape')
    return { error: `no function matching \`${shorten(text)}\`: check that the function name, arguments, and types are correct` };
  if (typeof value !== 'string') return { error: `invalid input type: ${name} can only be used with string inputs` };
  if (cut !== null)
    return {
      value: Array.from(value)
        .slice(Number(cut[1]), Number(cut[1]) + Number(cut[2]))
        .join(''),
    };
  return name === 'expand_vars' ? expandVariables(value, context) : { value: escaped(value) };
}

/** Names that nobody knows stay; values are put in as they are. */
function expandVariables(text: string, { shown, inRules }: FunctionContext): Result {
  const hidden = hiddenIn(text, shown, inRules);
  if (hidden !== undefined) return { error: 'variable expansion error: masked variables cannot be expanded' };
  return { value: text.replaceAll(variable, (whole, plain?: string, braced?: string) => shown.get(plain ?? braced ?? '') ?? whole) };
}

/** One word of a POSIX shell. */
function escaped(text: string): string {
  return text === '' ? "''" : text.replaceAll(/[^\w\-.,:+/@\n]/gu, '\\$&').replaceAll('\n', "'\n'");
}
