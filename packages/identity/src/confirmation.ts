/**
 * What a token is bound to (RFC 7800): a key whose proof comes with each HTTP request (DPoP, RFC 9449), or the certificate
 * of the TLS connection (RFC 8705). Pure. It refuses a binding of a kind that it does not know, rather than overlook it.
 */
import type { Claims } from './claims.ts'
import { IdentityError } from './errors.ts'
import type { Confirmation, Presented } from './own/proof.ts'
import type { Proof } from './verifier.ts'

const thumbprint = /^[A-Za-z0-9_-]{43}$/

/** Undefined for a bearer token. Throws IdentityError('bound_to_key'). */
export function confirmationOf({ cnf }: Claims): Confirmation | undefined {
  if (cnf === undefined) return undefined
  const members = typeof cnf === 'object' && cnf !== null && !Array.isArray(cnf) ? Object.entries(cnf) : []
  const isKnown = ([name, value]: [string, unknown]) =>
    (name === 'jkt' || name === 'x5t#S256') && typeof value === 'string' && thumbprint.test(value)
  if (members.length === 0 || !members.every(isKnown))
    throw new IdentityError(
      'bound_to_key',
      'the token is bound to a key (cnf) in a way that is not known here: use jkt or x5t#S256',
    )
  return Object.fromEntries(members)
}

export function isShown({ confirmation = {} }: Proof, presented: Presented): boolean {
  const { jkt, 'x5t#S256': certificate } = confirmation
  return (
    (jkt === undefined || jkt === presented.keyThumbprint) &&
    (certificate === undefined || certificate === presented.certificate?.thumbprint)
  )
}

/** Throws IdentityError('bound_to_key') with whom the token would prove. */
export function requireShown(proven: Proof, presented: Presented): void {
  if (isShown(proven, presented)) return
  const refuse = (why: string) =>
    new IdentityError('bound_to_key', `the token is bound to ${why}`, { proven })
  const { jkt } = proven.confirmation ?? {}
  if (jkt === undefined || jkt === presented.keyThumbprint)
    throw refuse(
      presented.certificate
        ? 'another client certificate (cnf.x5t#S256) than this connection has'
        : 'a client certificate (cnf.x5t#S256), and this connection has none',
    )
  throw refuse(
    presented.keyThumbprint === undefined
      ? 'a key that was not shown (cnf.jkt): its DPoP proof goes with HTTP requests only'
      : 'another key (cnf.jkt) than the one that was shown',
  )
}
