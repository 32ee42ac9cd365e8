import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const pages = [...globSync('*.md', { cwd: root }), ...globSync('docs/**/*.md', { cwd: root })].toSorted();
const textOf = (page: string): string => readFileSync(join(root, page), 'utf8');

/** As hosts of Markdown name the headings of a page. */
function anchors(page: string): readonly string[] {
  return [...textOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\- ]/gu, '')
      .trim()
      .replaceAll(' ', '-'),
  );
}

describe('documents', () => {
  test.each(pages)('%s leads where it says', (page) => {
    const astray = [...textOf(page).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !/^(?:https?|mailto):/.test(target))
      .filter((target) => {
        const [path = '', anchor] = target.split('#');
        const found = path === '' ? page : normalize(join(dirname(page), path));
        return !existsSync(join(root, found)) || (anchor !== undefined && !anchors(found).includes(anchor));
      });
    expect(astray).toEqual([]);
  });

  test.each(pages)('%s names files that there are', (page) => {
    const named = [...textOf(page).matchAll(/`((?:src|test|docs|scripts|packaging|bench|bin)\/[\w./*-]+)`/g)].map(([, path = '']) => path);
    expect(named.filter((path) => globSync([path, `${path}*`], { cwd: root }).length === 0)).toEqual([]);
  });

  const commands = ['serve', 'demo', 'gateway', 'admin', 'runner', 'gate', 'audit', 'token'];
  const flagsIn = (text: string): readonly string[] => [...new Set(text.match(/(?<![\w-])--[a-z][a-z0-9-]+/g))];

  test('every flag behind `jobpass` in a document is one of its help', () => {
    const help = commands.map((command) =>
      spawnSync(process.execPath, [join(root, 'bin/jobpass.js'), command, '--help'], { encoding: 'utf8' }),
    );
    const known = new Set(['--help', ...help.flatMap(({ stdout }) => flagsIn(stdout))]);
    expect(known.size).toBeGreaterThan(50);
    const unknown = pages.flatMap((page) =>
      // A command goes on behind a backslash; what a pipe or a bracket begins is another program's.
      [...textOf(page).matchAll(/\bjobpass (?:serve|demo|gateway|admin|runner|gate|audit|token)\b((?:[^\n`|)#]|\\\n)*)/g)]
        .flatMap(([, rest = '']) => flagsIn(rest))
        .filter((flag) => !known.has(flag))
        .map((flag) => `${page}: ${flag}`),
    );
    expect(unknown).toEqual([]);
  });
});
