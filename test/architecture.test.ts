import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

/** Where a file may import from: folders or single files below src/. Type imports count. One's own folder is always allowed. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  base: [],
  wire: ['base'],
  policy: ['base'],
  audit: ['base', 'ports'],
  pipeline: ['base'],
  ports: ['base', 'wire'],
  pass: ['base', 'ports', 'policy', 'audit'],
  'forge/forge.ts': [
    'base',
    'wire',
    'pass/grant.ts',
    'forge/registry.ts',
    'forge/repository.ts',
    'forge/lfs.ts',
    'forge/events.ts',
    'forge/impersonation.ts',
    'forge/merge-requests.ts',
    'forge/packages.ts',
    'forge/comparison.ts',
  ],
  'forge/repository.ts': ['base', 'pass/grant.ts', 'forge/comparison.ts'],
  'forge/comparison.ts': ['base', 'pass/grant.ts'],
  'forge/events.ts': ['base', 'pass/grant.ts'],
  'forge/impersonation.ts': ['base', 'pass/grant.ts'],
  'forge/merge-requests.ts': ['base', 'pass/grant.ts'],
  'forge/packages.ts': ['base', 'pass/grant.ts'],
  'forge/registry.ts': ['base', 'pass/grant.ts'],
  'forge/lfs.ts': ['base', 'pass/grant.ts', 'forge/registry.ts'],
  jobs: ['base', 'wire', 'ports', 'audit', 'pass', 'pipeline', 'forge/forge.ts', 'forge/registry.ts', 'forge/lfs.ts'],
  store: ['base', 'wire', 'ports', 'forge/embedded/ports.ts'],
  'forge/embedded': [
    'base',
    'wire',
    'ports',
    'pipeline',
    'pass/grant.ts',
    'forge/forge.ts',
    'forge/registry.ts',
    'forge/repository.ts',
    'forge/comparison.ts',
    'forge/lfs.ts',
    'forge/events.ts',
    'forge/impersonation.ts',
    'forge/merge-requests.ts',
    'forge/packages.ts',
  ],
  'forge/gitlab': ['base', 'wire', 'ports', 'pipeline', 'pass/grant.ts', 'forge/forge.ts', 'forge/registry.ts', 'forge/lfs.ts'],
  doors: [
    'base',
    'wire',
    'ports',
    'audit',
    'pass',
    'jobs',
    'pipeline',
    'policy/endpoints.ts',
    'forge/forge.ts',
    'forge/registry.ts',
    'forge/repository.ts',
    'forge/comparison.ts',
    'forge/lfs.ts',
    'forge/events.ts',
    'forge/impersonation.ts',
    'forge/merge-requests.ts',
    'forge/packages.ts',
  ],
  runner: ['base', 'wire'],
  cli: ['*'],
  'server.ts': ['*'],
  'gateway.ts': ['*'],
};

/** Folders that hold the rules and must not know what they run on. */
const pureOfIo = ['policy', 'pipeline', 'pass', 'jobs'];
const ioModules = /^(?:node:)?(?:http|https|http2|fs|fs\/promises|net|tls|dgram|child_process|sqlite)$|^(?:kysely|postgres|undici|fastify)/;

const root = fileURLToPath(new URL('..', import.meta.url));
const source = join(root, 'src');
const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .toSorted();

function areaOf(file: string): string {
  const areas = Object.keys(mayImport).filter((area) => file === area || file.startsWith(`${area}/`));
  const best = areas.toSorted((one, other) => other.length - one.length)[0];
  if (best === undefined) throw new Error(`src/${file} is in no folder of the import table`);
  return best;
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(source, file), 'utf8');
  return [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] ?? '');
}

describe('the import table', () => {
  test.each(files)('src/%s imports only what its folder may', (file) => {
    const area = areaOf(file);
    const allowed = mayImport[area] ?? [];
    for (const specifier of importsOf(file)) {
      if (!specifier.startsWith('.')) {
        if (pureOfIo.includes(area.split('/')[0] ?? '')) expect(specifier, `${file} must not do I/O itself`).not.toMatch(ioModules);
        continue;
      }
      const target = relative(source, join(source, dirname(file), specifier));
      expect(target.startsWith('..'), `${file} imports ${specifier} from outside src`).toBe(false);
      const fine =
        target.startsWith(`${area}/`) ||
        target === area ||
        allowed.some((place) => place === '*' || target === place || target.startsWith(`${place}/`));
      expect(fine, `src/${file} may not import src/${target}`).toBe(true);
    }
  });

  test('only the http folder of the doors imports the framework at run time', () => {
    const offenders = files.filter(
      (file) => file !== 'doors/http.ts' && /^import (?!type)[^;]*'fastify'/m.test(readFileSync(join(source, file), 'utf8')),
    );
    expect(offenders).toEqual([]);
  });

  test('R10 only admit makes a grant', () => {
    const makers = files.filter((file) => /\bmakeGrant\b/.test(readFileSync(join(source, file), 'utf8')));
    expect(makers).toEqual(['pass/admit.ts', 'pass/grant.ts']);
  });

  test('only cli/config.ts reads the environment of jobpass itself', () => {
    const readers = files.filter(
      (file) =>
        !file.startsWith('runner/') && file !== 'cli/config.ts' && /process\.env\.JOBPASS/.test(readFileSync(join(source, file), 'utf8')),
    );
    expect(readers).toEqual([]);
  });

  test('nothing evaluates text as code', () => {
    const offenders = files.filter((file) => /\beval\s*\(|new Function\s*\(|node:vm/.test(readFileSync(join(source, file), 'utf8')));
    expect(offenders).toEqual([]);
  });
});
