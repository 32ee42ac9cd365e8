import { limits } from '../../base/limits.ts';
import type { Page } from '../../forge/forge.ts';
import type { Params } from './params.ts';
import { ParamError } from './errors.ts';

const maxPage = 50_000;

/** `page` from 1, `per_page` 20, at most 100. @see GitLab REST API, "Pagination" */
export function pageOf(params: Params): Page {
  const page = params.integer('page') ?? 1;
  const perPage = params.integer('per_page') ?? 20;
  if (page < 1 || page > maxPage) throw new ParamError('page does not have a valid value');
  if (perPage < 1) throw new ParamError('per_page does not have a valid value');
  return { page, perPage: Math.min(perPage, limits.pageSize) };
}

/** The `X-…` headers and `Link`. @param url of the request, external, with its query */
export function pageHeaders(page: Page, total: number, url: URL): Record<string, string> {
  const last = Math.max(1, Math.ceil(total / page.perPage));
  const link = (number: number, rel: string): string => {
    const target = new URL(url);
    for (const name of ['private_token', 'access_token', 'job_token']) target.searchParams.delete(name);
    target.searchParams.set('page', String(number));
    target.searchParams.set('per_page', String(page.perPage));
    return `<${target.href}>; rel="${rel}"`;
  };
  const links = [link(1, 'first'), link(last, 'last')];
  if (page.page > 1) links.unshift(link(page.page - 1, 'prev'));
  if (page.page < last) links.unshift(link(page.page + 1, 'next'));
  return {
    'x-page': String(page.page),
    'x-per-page': String(page.perPage),
    'x-next-page': page.page < last ? String(page.page + 1) : '',
    'x-prev-page': page.page > 1 ? String(page.page - 1) : '',
    'x-total': String(total),
    'x-total-pages': String(last),
    link: links.join(', '),
  };
}
