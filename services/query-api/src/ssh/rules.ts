/**
 * Which certificate somebody gets: the first rule that is for them and has all that they ask for. Pure. It refuses to make
 * less of a request than was asked for, and never makes `root` of a subject.
 */
import type { SshConfig } from '@portcullis/config'
import { groupsIssuer, type Identity, belongsTo } from '@portcullis/kernel'

export interface Wanted {
  /** Empty for all that the rule has. */
  readonly principals: readonly string[]
  readonly lifeSec: number | undefined
}

type Rule = SshConfig['certificates'][number]

export interface Allowed {
  readonly principals: readonly string[]
  readonly lifeSec: number
  readonly extensions: Rule['extensions']
  readonly sourceAddress: Rule['sourceAddress']
  readonly hosts: readonly string[]
}

/** What is allowed, or in words for the caller why nothing is. */
export function allowedBy(
  rules: readonly Rule[],
  identity: Pick<Identity, 'issuer' | 'subject' | 'groups' | 'delegation'>,
  wanted: Wanted,
): Allowed | { readonly why: string } {
  const theirs = rules
    .filter(
      ({ groups, issuers }) =>
        belongsTo(identity, groups) &&
        // One says the name, the other the groups.
        [identity.issuer, groupsIssuer(identity)].every((issuer) => issuers?.includes(issuer) ?? true),
    )
    .map((rule) => ({ ...rule, principals: principalsOf(rule, identity.subject) }))
    .filter(({ principals }) => principals.length > 0)
  if (theirs.length === 0) return { why: 'None of your groups gets SSH certificates (ssh.certificates).' }
  const rule = theirs.find(({ principals }) => wanted.principals.every((name) => principals.includes(name)))
  if (!rule) {
    const all = [...new Set(theirs.flatMap(({ principals }) => principals))]
    return { why: `You may be ${all.join(', ')}, by one certificate each rule; ask for no other principal.` }
  }
  const { lifeSecMax, extensions, sourceAddress, hosts } = rule
  return {
    principals: wanted.principals.length > 0 ? wanted.principals : rule.principals,
    lifeSec: Math.min(lifeSecMax, wanted.lifeSec ?? lifeSecMax),
    ...{ extensions, sourceAddress, hosts },
  }
}

/** A subject that makes no user name gets none, rather than one that was bent into shape. */
function principalsOf({ principals }: Rule, subject: string): string[] {
  return principals.flatMap((pattern) => {
    if (!pattern.includes('{subject}')) return [pattern]
    const name = pattern.replaceAll('{subject}', subject)
    return /^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}$/.test(name) && name.toLowerCase() !== 'root' ? [name] : []
  })
}
