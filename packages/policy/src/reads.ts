/** What rules ask, by the names of attributes: their conditions, and their matches in the same words. */
import type { ParsedRule } from './parse.ts'
import type { Match } from './schema.ts'

const readByMatch = {
  protocols: 'target.protocol',
  targets: 'target.name',
  labels: 'target.labels',
  roles: 'target.role',
  databases: 'target.database',
  issuers: 'identity.issuer',
  subjects: 'identity.subject',
  groups: 'identity.groups',
  delegated: 'identity.delegation',
  actors: 'identity.delegation',
  countries: 'origin.country',
  asns: 'origin.asn',
  networks: 'origin.address',
  time: 'time.now_ms',
} as const satisfies Record<keyof Match, string>

export function readsOf(rules: readonly Pick<ParsedRule, 'match' | 'condition'>[]): ReadonlySet<string> {
  return new Set(
    rules.flatMap(({ match = {}, condition }) => [
      ...Object.entries(match).flatMap(([key, value]) =>
        value === undefined ? [] : [readByMatch[key as keyof Match]],
      ),
      ...(condition?.reads ?? []),
    ]),
  )
}
