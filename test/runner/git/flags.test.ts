import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseCleanFlags, parseFetchFlags, parseSubmoduleFlags } from '../../../src/runner/git/flags.ts';
import { submoduleFilter } from '../../../src/runner/git/paths.ts';

describe('flags that a job gives to git', () => {
  test('the usual ones are taken', () => {
    expect(parseCleanFlags(undefined)).toEqual(['-ffdx']);
    expect(parseCleanFlags(' none ')).toEqual([]);
    expect(parseCleanFlags('-ffdx -e cache/ --exclude=node_modules -elogs')).toEqual([
      '-f',
      '-f',
      '-d',
      '-x',
      '-e',
      'cache/',
      '--exclude=node_modules',
      '-e',
      'logs',
    ]);
    expect(parseFetchFlags('--prune --tags --progress -j4')).toEqual({ tags: true, depth: 0, passedOn: ['--progress'] });
    expect(parseFetchFlags('--tags --no-tags --depth 7')).toEqual({ tags: false, depth: 7, passedOn: [] });
    expect(parseFetchFlags('none')).toEqual({ tags: false, depth: 0, passedOn: [] });
    expect(parseSubmoduleFlags('--jobs 4 --depth=3 --force')).toEqual({ depth: 3 });
  });

  test.each([
    '--upload-pack=touch /tmp/x',
    '--upload-pack',
    '-u touch',
    '--exec=x',
    '-c core.sshCommand=x',
    '--config-env=a=b',
    '--server-option=x',
    '--recurse-submodules',
    '--filter=blob:none',
    '--refmap=x',
    '--negotiation-tip=x',
    '--all',
    '--multiple',
    'https://elsewhere.example/x.git',
    '--',
    '--output=/etc/passwd',
    '--depth=-1',
    '--depth',
    '-jx',
    '--quiet=1',
    '__proto__',
    '--constructor',
  ])('A39 %s is refused, and the error names what there is', (text) => {
    expect(() => parseFetchFlags(text)).toThrow(/^GIT_FETCH_EXTRA_FLAGS: .*This runner takes .*--prune/);
  });

  test('A39 nothing that is in no list comes through', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        for (const parse of [parseCleanFlags, (words: string) => parseFetchFlags(words).passedOn]) {
          let flags: readonly string[];
          try {
            flags = parse(text);
          } catch {
            continue;
          }
          const values = new Set(flags.flatMap((flag, index) => (flag === '-e' ? [index + 1] : [])));
          for (const [index, flag] of flags.entries())
            if (values.has(index)) expect(flag).not.toMatch(/^-/);
            else expect(flag).toMatch(/^(?:-ffdx|-[fdxXqe46v]|--(?:force|quiet|exclude=[^-].*|progress|no-progress|verbose|ipv4|ipv6))$/s);
        }
      }),
    );
  });

  test('A39 GIT_SUBMODULE_UPDATE_FLAGS takes no other commit than the one that is recorded', () => {
    for (const text of ['--remote', '--merge', '--rebase', '--reference /srv', '--init'])
      expect(() => parseSubmoduleFlags(text)).toThrow(/GIT_SUBMODULE_UPDATE_FLAGS/);
  });
});

describe('GIT_SUBMODULE_PATHS', () => {
  const chosen = (text: string | undefined): readonly string[] => ['libs/a', 'libs/b', 'docs'].filter(submoduleFilter(text));
  test('paths, folders, globs and exclusions', () => {
    expect(chosen(undefined)).toEqual(['libs/a', 'libs/b', 'docs']);
    expect(chosen('libs/a docs/')).toEqual(['libs/a', 'docs']);
    expect(chosen('libs')).toEqual(['libs/a', 'libs/b']);
    expect(chosen('libs/*')).toEqual(['libs/a', 'libs/b']);
    expect(chosen(':(exclude)libs/b')).toEqual(['libs/a', 'docs']);
    expect(chosen('libs :!libs/a')).toEqual(['libs/b']);
  });
  test.each(['--help', ':(top)x', ':/x', '../x', '/etc', ':(exclude)'])('A39 %s is refused', (text) => {
    expect(() => submoduleFilter(text)).toThrow(/GIT_SUBMODULE_PATHS/);
  });
});
