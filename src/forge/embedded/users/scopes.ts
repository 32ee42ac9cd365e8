/** Scopes that a user's token may have. @see GitLab, "Personal access token scopes" */
export const tokenScopes: ReadonlySet<string> = new Set([
  'api',
  'read_api',
  'read_user',
  'read_repository',
  'write_repository',
  'read_registry',
  'write_registry',
]);
