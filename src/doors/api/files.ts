import { isoTime } from '../../base/clock.ts';
import { JobpassError } from '../../base/errors.ts';
import { parseId } from '../../base/ids.ts';
import type { Package, PackageFile, Upload } from '../../forge/packages.ts';
import type { PackageId } from '../../ports/packages.ts';
import { receiveUpload } from '../runner/upload.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import type { ApiDeps, Call, RouteTable } from './route.ts';
import { sentFile } from './sent-file.ts';

const P = '/api/v4/projects/:id';
const G = `${P}/packages/generic/:package_name/:package_version/*`;

const placeOf = (call: Call) => ({ name: call.path('package_name'), version: call.path('package_version'), fileName: call.path('*') });

/** @see GitLab REST API, "Packages", "Generic packages", "Project Markdown uploads" */
export function fileRoutes(deps: ApiDeps): RouteTable {
  const { packages } = deps.forge;
  const idOf = (call: Call): number => parseId<PackageId>(call.path('package_id')) ?? gone();
  const uploaded = async (call: Call) => {
    const found = await packages.uploaded(call.grant, call.project.id, call.path('secret'));
    return found === undefined || found.fileName !== call.path('filename') ? gone('Upload') : sentFile(found.fileName, found);
  };
  return {
    [`GET ${G}`]: async (call) => {
      const found = (await packages.download(call.grant, call.project.id, placeOf(call))) ?? gone();
      return sentFile(found.fileName, found);
    },
    [`GET ${P}/packages`]: async (call) => {
      const page = pageOf(call.params);
      const name = call.params.optionalText('package_name');
      const type = call.params.optionalText('package_type');
      const found = await packages.list(call.grant, call.project.id, name === undefined ? {} : { name }, page);
      const rows = type === undefined || type === 'generic' ? found.rows : [];
      return { body: rows.map(shownPackage), headers: pageHeaders(page, rows.length === 0 ? 0 : found.total, call.url) };
    },
    [`GET ${P}/packages/:package_id`]: async (call) => ({
      body: shownPackage((await packages.one(call.grant, call.project.id, idOf(call))) ?? gone()),
    }),
    [`GET ${P}/packages/:package_id/package_files`]: async (call) => {
      const page = pageOf(call.params);
      const files = (await packages.files(call.grant, call.project.id, idOf(call))) ?? gone();
      const rows = files.slice((page.page - 1) * page.perPage, page.page * page.perPage);
      return { body: rows.map(shownFile), headers: pageHeaders(page, files.length, call.url) };
    },
    [`DELETE ${P}/packages/:package_id`]: async (call) => {
      if (!(await packages.remove(call.grant, call.project.id, idOf(call)))) return gone();
      return { status: 204 };
    },
    [`GET ${P}/uploads/:secret/:filename`]: uploaded,
    // Where the links of release tools lead.
    'GET /-/project/:id/uploads/:secret/:filename': uploaded,
  };
}

/** Those that read a body of any type as it comes: nothing is parsed before the caller is known. */
export function streamedRoutes(deps: ApiDeps): RouteTable {
  const { packages } = deps.forge;
  return {
    [`PUT ${G}`]: async (call) => {
      const status = call.params.oneOf('status', ['default', 'hidden']) ?? 'default';
      const place = placeOf(call);
      const made = await packages.publish(call.grant, call.project.id, { ...place, status }, call.incoming);
      if (call.params.optionalText('select') !== 'package_file') return { status: 201, body: { message: '201 Created' } };
      const at = [place.name, place.version, ...place.fileName.split('/')].map(encodeURIComponent).join('/');
      const url = `${deps.externalUrl}/api/v4/projects/${call.project.id}/packages/generic/${at}`;
      return { status: 201, body: { ...shownFile(made), file: { url } } };
    },
    [`POST ${P}/uploads`]: async (call) => {
      let made: Upload | undefined;
      await receiveUpload(call.incoming, async (filename, body) => {
        made = await packages.upload(call.grant, call.project.id, filename, body);
        return 0;
      });
      if (made === undefined) throw new JobpassError('invalid_input', 'The part `file` is missing.');
      const { id, secret, fileName } = made;
      const url = `/uploads/${secret}/${fileName}`;
      const isImage = /\.(?:png|jpe?g|gif|webp|svg)$/i.test(fileName);
      const alt = fileName.replace(/\.[^.]+$/, '');
      return {
        body: {
          id,
          alt,
          url,
          full_path: `/-/project/${call.project.id}${url}`,
          markdown: `${isImage ? '!' : ''}[${isImage ? alt : fileName}](${url})`,
        },
      };
    },
  };
}

function shownPackage(one: Package) {
  return {
    id: one.id,
    name: one.name,
    version: one.version,
    package_type: 'generic',
    status: one.status,
    created_at: isoTime(one.createdAt),
    creator_id: one.creatorId,
    tags: [],
  };
}

function shownFile(one: PackageFile) {
  return {
    id: one.id,
    package_id: one.packageId,
    created_at: isoTime(one.createdAt),
    updated_at: isoTime(one.createdAt),
    size: one.sizeBytes,
    file_name: one.fileName,
    file_md5: null,
    file_sha1: null,
    file_sha256: one.sha256,
  };
}

function gone(what = 'Package'): never {
  throw new JobpassError('not_found', { what });
}
