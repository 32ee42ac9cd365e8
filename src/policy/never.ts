import type { Method } from './endpoints.ts';

const W = ['POST', 'PUT', 'PATCH', 'DELETE'] as const;
const ANY = ['GET', ...W] as const;
const P = '/api/v4/projects/:id';
const G = '/api/v4/groups/:id';
const U = '/api/v4/users/:id';
const both = (rest: string): string[] => [`${P}${rest}`, `${G}${rest}`];

/**
 * What no pass may ever do (R5): it would outlive the job, hand out a credential, or raise rights. No ceiling overrides it. `:x` = one segment,
 * a final `*` = any end of its segment and anything below. Routes that jobpass does not have stand here too: the list is the gateway's as well.
 */
export const neverAllowed: readonly { readonly methods: readonly Method[]; readonly paths: readonly string[] }[] = [
  // Personal credentials and identity
  {
    methods: W,
    paths: [
      '/api/v4/user/personal_access_tokens*',
      '/api/v4/personal_access_tokens*',
      `${U}/personal_access_tokens*`,
      `${U}/impersonation_tokens*`,
      `${U}/keys*`,
      `${U}/gpg_keys*`,
      `${U}/emails*`,
      `${U}/identities*`,
    ],
  },
  { methods: ANY, paths: [`${U}/impersonation_tokens*`] },
  {
    methods: W,
    paths: [
      '/api/v4/user/keys*',
      '/api/v4/user/gpg_keys*',
      '/api/v4/user/emails*',
      '/api/v4/user/applications*',
      '/api/v4/user/push_subscriptions*',
      '/api/v4/user/runners*',
      '/api/v4/user/support_pin',
      '/api/v4/user/avatar',
      '/api/v4/user/preferences',
      '/api/v4/user/status',
    ],
  },
  {
    methods: W,
    paths: [
      '/api/v4/users',
      U,
      `${U}/disable_two_factor`,
      ...['block', 'unblock', 'ban', 'unban', 'activate', 'deactivate', 'approve', 'reject'].map((verb) => `${U}/${verb}`),
      `${G}/enterprise_users*`,
    ],
  },
  { methods: W, paths: ['/api/v4/applications*', `${G}/ssh_certificates*`, '/api/v4/admin*'] },
  { methods: ANY, paths: [`${G}/manage*`, '/api/v4/admin*'] },
  // Project, group and service credentials
  {
    methods: W,
    paths: [
      ...both('/access_tokens*'),
      ...both('/deploy_tokens*'),
      `${P}/deploy_keys*`,
      '/api/v4/deploy_keys*',
      ...both('/service_accounts*'),
      '/api/v4/service_accounts*',
      `${P}/cluster_agents*`,
      ...both('/clusters*'),
      `${P}/error_tracking*`,
      `${P}/feature_flags_settings`,
    ],
  },
  { methods: ANY, paths: [`${P}/triggers*`, '/api/v4/mcp*', '/api/v4/orbit*', '/api/v4/glql*', '/api/v4/chat*'] },
  {
    methods: ['POST'],
    paths: [...both('/secrets_manager*'), `${P}/ai_agent*`, '/api/v4/token_exchange', '/api/v4/code_suggestions*', '/api/v4/ai*'],
  },
  // Runners, and their own calls
  { methods: W, paths: ['/api/v4/runners*', ...both('/runners*')] },
  { methods: ANY, paths: ['/api/v4/runner_controllers*'] },
  { methods: W, paths: ['/api/v4/jobs*'] },
  // Membership and roles
  {
    methods: W,
    paths: [
      ...both('/members*'),
      ...both('/invitations*'),
      ...both('/access_requests*'),
      `${G}/billable_members*`,
      `${P}/import_project_members*`,
      ...both('/share*'),
      `${G}/shared_projects*`,
      `${G}/member_roles*`,
      `${G}/ldap_group_links*`,
      `${G}/ldap_sync`,
      `${G}/saml*`,
      `${G}/scim*`,
      `${G}/placeholder_reassignments*`,
      '/api/v4/member_roles*',
      '/api/v4/admin_member_roles*',
    ],
  },
  // Settings and protection
  { methods: ['PUT', 'PATCH', 'DELETE'], paths: [P, G] },
  {
    methods: W,
    paths: [
      ...both('/transfer'),
      `${G}/transfer_to_organization`,
      ...both('/archive'),
      ...both('/unarchive'),
      ...both('/restore'),
      `${P}/job_token_scope*`,
      ...both('/protected_branches*'),
      `${P}/repository/branches/:branch/protect`,
      `${P}/repository/branches/:branch/unprotect`,
      `${P}/protected_tags*`,
      ...both('/protected_environments*'),
      ...both('/push_rule*'),
      ...both('/approval_rules*'),
      ...both('/merge_request_approval_setting*'),
      `${P}/approvals*`,
      `${P}/approval_settings*`,
      `${P}/merge_requests/:iid/approval_rules*`,
      `${P}/merge_requests/:iid/approvals*`,
      `${P}/merge_requests/:iid/reset_approvals`,
      `${P}/registry/protection*`,
      `${P}/packages/protection*`,
      `${P}/terraform/state_protection_rules*`,
      ...both('/security_settings*'),
      `${P}/external_status_checks*`,
      `${G}/security/policy_store*`,
      `${P}/pages*`,
      `${P}/resource_groups*`,
      ...both('/custom_attributes*'),
    ],
  },
  // Delayed or remote action
  {
    methods: W,
    paths: [
      ...both('/variables*'),
      `${P}/pipeline_schedules*`,
      ...both('/hooks*'),
      '/api/v4/hooks*',
      ...both('/integrations*'),
      `${P}/services*`,
      '/api/v4/integrations*',
      `${P}/remote_mirrors*`,
      `${P}/import*`,
      '/api/v4/import*',
      '/api/v4/projects/import*',
      '/api/v4/projects/remote-import*',
      '/api/v4/groups/import*',
      '/api/v4/bulk_imports*',
      '/api/v4/offline_imports*',
      '/api/v4/offline_exports*',
      `${P}/merge_trains*`,
    ],
  },
  { methods: ANY, paths: [`${P}/mirror*`, ...both('/export*'), `${P}/snapshot`, ...both('/repository_storage_moves*')] },
  // Instance
  {
    methods: ANY,
    paths: [
      '/api/v4/application*',
      '/api/v4/features*',
      '/api/v4/license*',
      '/api/v4/geo*',
      '/api/v4/internal*',
      '/api/v4/sidekiq*',
      '/api/v4/usage_data*',
      '/api/v4/keys*',
      '/api/v4/database*',
      '/api/v4/project_repository_storage_moves*',
      '/api/v4/group_repository_storage_moves*',
      '/api/v4/snippet_repository_storage_moves*',
      '/api/scim*',
    ],
  },
  {
    methods: W,
    paths: [
      '/api/v4/organizations*',
      '/api/v4/namespaces*',
      '/api/v4/topics*',
      '/api/v4/broadcast_messages*',
      '/api/v4/project_aliases*',
      '/api/v4/experiments*',
    ],
  },
  // Outside REST
  { methods: ANY, paths: ['/api/graphql', '/oauth*', '/users*', '/-/user_settings*', '/-/profile*', '/admin*', '/-/cable'] },
];
