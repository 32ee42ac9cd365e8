import type { CiJob } from './ci-file.ts';
import { type Fields, isFields, scalarText } from './fields.ts';
import type { PlanRelease } from './plan.ts';
import type { PartReader } from './reader.ts';

const mostLinks = 50;
const linkTypes = ['other', 'runbook', 'image', 'package'] as const;

/** @see GitLab, CI/CD YAML syntax reference: `release` */
export function readRelease(value: unknown, path: readonly string[], outer: PartReader): Pick<CiJob, 'release'> {
  if (!isFields(value)) {
    outer.error(path, '`release` must be a map with `tag_name` and `description`');
    return {};
  }
  const reader = outer.within('release');
  reader.checkKeys(value, 'release', path);
  const text = (name: string): string | undefined => (value[name] === undefined ? undefined : readText(value, name, path, reader));
  const [tagName, description] = [text('tag_name'), text('description')];
  if (tagName === undefined || description === undefined) reader.error(path, '`tag_name` and `description` are needed');
  const [name, tagMessage, ref, releasedAt] = [text('name'), text('tag_message'), text('ref'), text('released_at')];
  return {
    release: {
      tagName: tagName ?? '',
      description: description ?? '',
      ...(name === undefined ? {} : { name }),
      ...(tagMessage === undefined ? {} : { tagMessage }),
      ...(ref === undefined ? {} : { ref }),
      ...(releasedAt === undefined ? {} : { releasedAt }),
      links: value['assets'] === undefined ? [] : readLinks(value['assets'], [...path, 'assets'], reader),
    },
  };
}

function readText(fields: Fields, name: string, path: readonly string[], reader: PartReader): string {
  const text = scalarText(fields[name]);
  // An empty text would be a flag without its value.
  if (text === '' || text.includes('\0')) reader.error([...path, name], `\`${name}\` must be a text that is not empty`);
  return text;
}

function readLinks(value: unknown, path: readonly string[], outer: PartReader): PlanRelease['links'] {
  const reader = outer.within('assets');
  if (isFields(value)) reader.checkKeys(value, 'release_assets', path);
  const links: unknown = isFields(value) ? value['links'] : undefined;
  if (!Array.isArray(links) || links.length > mostLinks) {
    reader.error(path, `\`links\` must be a list of at most ${mostLinks} maps with \`name\` and \`url\``);
    return [];
  }
  return links.flatMap((link: unknown, index) => {
    const at = [...path, 'links', String(index)];
    if (!isFields(link)) {
      reader.error(at, 'each link must be a map with `name` and `url`');
      return [];
    }
    reader.within('links').checkKeys(link, 'release_link', at);
    const type = linkTypes.find((one) => one === (link['link_type'] ?? 'other'));
    if (type === undefined) reader.error([...at, 'link_type'], `\`link_type\` must be ${linkTypes.join(', ')}`);
    return [
      {
        name: readText(link, 'name', at, reader),
        url: readText(link, 'url', at, reader),
        ...(link['filepath'] === undefined ? {} : { filepath: readText(link, 'filepath', at, reader) }),
        linkType: type ?? 'other',
      },
    ];
  });
}
