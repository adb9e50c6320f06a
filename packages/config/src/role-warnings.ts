/**
 * Roles that are valid and may be meant otherwise: those that nobody can have, since a plain name of a group makes only people
 * approvers, and those of an issuer that the file does not name (the API may).
 */
import type { Problem } from './cross-checks.ts'
import { issuersOfFile, peopleIssuersOf } from './issuers.ts'
import type { Config } from './schema.ts'

/** Of API keys. */
const keyIssuer = 'portcullis'

export function roleWarnings(config: Config): Problem[] {
  const { api, identity, people, proxy, approvals } = config
  const peoplesIssuers = peopleIssuersOf(config)
  const isReached =
    [...(people?.oidc ?? []), ...(people?.saml ?? [])].some(({ roles }) => roles === undefined) ||
    identity.issuers.some(({ issuer }) => peoplesIssuers.includes(issuer)) ||
    Object.values(approvals.slack?.users ?? {}).some(({ provider }) => provider === undefined)
  const unreached = Object.entries(api.roles).flatMap(([group, role]): Problem[] => {
    if (isReached || role === 'viewer' || role === 'responder') return []
    const message = `${role} by a plain name is for people, and none get their role here: say whose group it is in api.roleOf, { issuer: URL, group: ${JSON.stringify(group)}, role: ${role} }`
    return [{ path: ['api', 'roles', group], message }]
  })
  const known = new Set([
    ...issuersOfFile(config),
    ...(proxy.tls?.clientCertificates ?? []).map(({ issuer }) => issuer),
    keyIssuer,
  ])
  const unknown = api.roleOf.flatMap(({ issuer }, index): Problem[] => {
    if (known.has(issuer)) return []
    return [{ path: ['api', 'roleOf', index, 'issuer'], message: `the file trusts no issuer ${issuer}` }]
  })
  return [...unreached, ...unknown]
}
