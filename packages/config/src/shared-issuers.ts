/**
 * Issuers whose tokens anyone in the world can get, for any audience, by an account of their own. To trust such a one and
 * no more is to trust everybody: one of these claims must be pinned. Ids and not names where there are ids, since a name
 * that its owner gives up is there for the next (the `sub` of CI providers is made of names).
 */

/** Claims (or dotted paths) of which one must be pinned; none where the issuer is not known to be shared. */
export function sharedBy(issuer: string): readonly string[] {
  return shared.get(issuer.replace(/\/$/, '').toLowerCase()) ?? []
}

const microsoftAccounts = 'https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0'

const shared: ReadonlyMap<string, readonly string[]> = new Map([
  ['https://token.actions.githubusercontent.com', ['repository_id', 'repository_owner_id', 'enterprise_id']],
  ['https://gitlab.com', ['project_id', 'namespace_id']],
  ['https://accounts.google.com', ['sub', 'email', 'hd']],
  [microsoftAccounts, ['sub', 'oid']],
  ['https://app.terraform.io', ['terraform_organization_id', 'terraform_workspace_id']],
  ['https://agent.buildkite.com', ['organization_id', 'pipeline_id']],
])
