/** GitLab's keywords that jobpass does not take yet or never will, so that an error can tell them from a typing mistake. */
const notBuilt = 'is not supported yet';
export const unsupportedKeywords: ReadonlyMap<string, string> = new Map(
  Object.entries({
    include: notBuilt,
    workflow: notBuilt,
    spec: notBuilt,
    extends: notBuilt,
    services: notBuilt,
    cache: notBuilt,
    parallel: notBuilt,
    environment: notBuilt,
    retry: notBuilt,
    trigger: notBuilt,
    release: notBuilt,
    resource_group: notBuilt,
    interruptible: notBuilt,
    inherit: notBuilt,
    hooks: notBuilt,
    coverage: notBuilt,
    id_tokens: notBuilt,
    identity: notBuilt,
    pages: notBuilt,
    start_in: notBuilt,
    run: notBuilt,
    manual_confirmation: notBuilt,
    dast_configuration: 'is not supported',
    secrets: 'is not supported: read secrets with the pass instead',
    only: 'is not supported: use `rules`',
    except: 'is not supported: use `rules`',
  }),
);

export const globalKeywords = ['stages', 'default', 'variables', 'image', 'before_script', 'after_script'] as const;
export const defaultKeywords = ['image', 'before_script', 'after_script', 'tags', 'timeout', 'artifacts'] as const;
export const jobKeywords = [
  'stage',
  'script',
  'before_script',
  'after_script',
  'image',
  'variables',
  'needs',
  'dependencies',
  'artifacts',
  'rules',
  'when',
  'tags',
  'allow_failure',
  'timeout',
] as const;
