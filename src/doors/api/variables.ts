import { Secret } from '../../base/secret.ts';
import type { CiVariable, VariableEdit } from '../../jobs/variables.ts';
import type { VariableOwner } from '../../ports/variables.ts';
import { ParamError } from './errors.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import type { Params } from './params.ts';
import type { ApiDeps, Call, RouteTable } from './route.ts';

/** @see GitLab REST API, "Project-level CI/CD variables", "Group-level CI/CD variables", "Instance-level CI/CD variables" */
export function variableRoutes(deps: ApiDeps): RouteTable {
  const { variables } = deps.jobs;
  const levels: Readonly<Record<string, (call: Call) => VariableOwner>> = {
    '/api/v4/projects/:id/variables': (call) => ({ kind: 'project', id: call.project.id }),
    '/api/v4/groups/:id/variables': (call) => ({ kind: 'group', id: call.group.id }),
    '/api/v4/admin/ci/variables': () => ({ kind: 'instance' }),
  };
  const routes: Record<string, RouteTable[string]> = {};
  for (const [root, ownerOf] of Object.entries(levels)) {
    routes[`GET ${root}`] = async (call) => {
      const page = pageOf(call.params);
      const found = await variables.list(call.grant, ownerOf(call), page);
      return { body: found.rows.map(shown), headers: pageHeaders(page, found.total, call.url) };
    };
    routes[`POST ${root}`] = async (call) => {
      const { params } = call;
      const key = params.text('key');
      const hidden = params.flag('masked_and_hidden') === true;
      const made = await variables.create(call.grant, ownerOf(call), {
        key,
        value: valueIn(params) ?? missing('value'),
        type: typeIn(params) ?? 'env_var',
        protected: params.flag('protected') ?? false,
        masked: hidden || params.flag('masked') === true,
        hidden,
        raw: params.flag('raw') ?? false,
        environmentScope: scopeIn(params, ownerOf(call)) ?? '*',
        description: params.optionalText('description') ?? null,
      });
      return { body: shown(made) };
    };
    routes[`GET ${root}/:key`] = async (call) => ({
      body: shown(await variables.one(call.grant, ownerOf(call), call.path('key'), filterIn(call.params))),
    });
    routes[`PUT ${root}/:key`] = async (call) => {
      const { params } = call;
      const edit = editIn(params, ownerOf(call));
      return { body: shown(await variables.change(call.grant, ownerOf(call), call.path('key'), filterIn(params), edit)) };
    };
    routes[`DELETE ${root}/:key`] = async (call) => {
      await variables.remove(call.grant, ownerOf(call), call.path('key'), filterIn(call.params));
      return { status: 204 };
    };
  }
  return routes;
}

function shown(variable: CiVariable) {
  const { owner, key, value, type, masked, hidden, raw, environmentScope, description } = variable;
  return {
    variable_type: type,
    key,
    value: value === null ? null : value.reveal(),
    ...(owner.kind === 'instance' ? {} : { hidden }),
    protected: variable.protected,
    masked,
    raw,
    ...(owner.kind === 'instance' ? {} : { environment_scope: environmentScope }),
    description,
  };
}

/** May be empty. */
function valueIn(params: Params): Secret | undefined {
  const text = params.optionalText('value');
  return text === undefined ? undefined : new Secret(text);
}

function typeIn(params: Params): CiVariable['type'] | undefined {
  return params.oneOf('variable_type', ['env_var', 'file']);
}

/** Variables of the instance are for all environments (GitLab). */
function scopeIn(params: Params, owner: VariableOwner): string | undefined {
  const scope = params.optionalText('environment_scope');
  if (owner.kind === 'instance' && scope !== undefined && scope !== '*') throw new ParamError('environment_scope is not for the instance');
  return scope === '' ? undefined : scope;
}

function filterIn(params: Params): string | undefined {
  return params.nested('filter').optionalText('environment_scope');
}

/** Only what was sent is changed. */
function editIn(params: Params, owner: VariableOwner): VariableEdit {
  const [value, type, scope] = [valueIn(params), typeIn(params), scopeIn(params, owner)];
  const [isProtected, masked, raw] = [params.flag('protected'), params.flag('masked'), params.flag('raw')];
  return {
    ...(value === undefined ? {} : { value }),
    ...(type === undefined ? {} : { type }),
    ...(scope === undefined ? {} : { environmentScope: scope }),
    ...(isProtected === undefined ? {} : { protected: isProtected }),
    ...(masked === undefined ? {} : { masked }),
    ...(raw === undefined ? {} : { raw }),
    ...(params.given('description') ? { description: params.optionalText('description') ?? null } : {}),
  };
}

function missing(name: string): never {
  throw new ParamError(`${name} is missing`);
}
