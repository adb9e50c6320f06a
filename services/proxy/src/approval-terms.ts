/**
 * How people approve what is held: what the rules that hold it say, taken together, and the configuration where they say
 * nothing. Of several rules the strictest of each; and the digest that binds an answer to what was asked. Pure.
 */
import { createHash } from 'node:crypto'
import type { Analysis, GroupRef, Identity, Original, Quorum } from '@portcullis/kernel'
import type { Judged } from '@portcullis/policy'

export interface ApprovalSettings {
  /** Base of the address that people answer at; empty where there is none. */
  readonly link: string
  readonly groups: readonly GroupRef[]
  readonly delegatorsMay: boolean
  readonly perInstance: boolean
  readonly answerSec: number
  readonly usableSec: number
  readonly waitSec: number
  readonly waitInTransactionSec: number
  readonly noticeSec: number
}

export interface Terms {
  readonly quorum: readonly Quorum[]
  readonly excludesDelegators: boolean
  readonly perInstance: boolean
  readonly use: 'once' | 'window'
  readonly answerUs: number
  readonly usableUs: number
  readonly waitMs: number
}

/** Of the rules that hold it, and of a verdict that does, which says nothing of how. */
export function termsOf(
  { holds, verdictId }: { readonly holds: Judged['holds']; readonly verdictId: string },
  settings: ApprovalSettings,
  inTransaction: boolean,
): Terms {
  const all = [...holds.map(({ approval }) => approval), ...(verdictId === '' ? [] : [undefined])]
  const least = (key: 'answerSec' | 'usableSec' | 'waitSec' | 'waitInTransactionSec') =>
    Math.min(...all.map((terms) => terms?.[key] ?? settings[key]))
  const quorums = all.flatMap((terms) => terms?.by ?? [{ groups: settings.groups, count: 1 }])
  return {
    quorum: [...new Map(quorums.map((one) => [JSON.stringify(one), one])).values()],
    excludesDelegators: all.some((terms) => !(terms?.delegatorsMay ?? settings.delegatorsMay)),
    perInstance: all.some((terms) => terms?.perInstance ?? settings.perInstance),
    use: all.every((terms) => terms?.use === 'window') ? 'window' : 'once',
    answerUs: least('answerSec') * 1_000_000,
    usableUs: least('usableSec') * 1_000_000,
    waitMs: least(inTransaction ? 'waitInTransactionSec' : 'waitSec') * 1000,
  }
}

/**
 * Whether people would see less than what runs: code of which a part was taken out as a credential or is in a value that is
 * cut, or a name that was taken out. Elsewhere what is taken out is a value, and its place shows.
 */
export function hidesWhatRuns(
  analyses: readonly Pick<Analysis, 'verb' | 'effects' | 'text'>[],
  values: readonly string[],
): boolean {
  const lacks = (mark: string) => analyses.some(({ text }) => text.includes(mark))
  const isCode = analyses.some(
    ({ verb, effects }) =>
      /^(DO|CREATE (FUNCTION|PROCEDURE))$/.test(verb) ||
      effects.includes('unknown') ||
      effects.includes('execute'),
  )
  return lacks('"***"') || (isCode && (lacks("'***'") || values.some((value) => cutValue.test(value))))
}

/** As shown values are where they are long, or too many; whole ones in text end in a quote. */
const cutValue = /( bytes\)| more)$/

/** Who asks, and for what. Of the instance only where the terms say so. */
export interface Asking {
  readonly identity: Identity
  readonly protocol: string
  readonly target: string
  readonly role: string
  readonly database: string
  readonly policyVersion: string
  /** What holds it: rules and verdict. */
  readonly causes: readonly string[]
  readonly perInstance: boolean
  /** How the gate reads it: a setting of the session can make another statement of the same bytes. */
  readonly analyses: readonly Pick<Analysis, 'verb' | 'fingerprint'>[]
  readonly original: Original
}

/**
 * SHA-256, hex. Each part stands behind its length, so that no two askings have the same bytes. In it is whatever could
 * make the same bytes mean something else to whoever answered: who acts and for whom, where, under which rules.
 */
export function digestOf(asking: Asking): string {
  const { identity, protocol, target, role, database, policyVersion, causes, original } = asking
  const about = JSON.stringify({
    form: 'portcullis.approval.1',
    ...{ protocol, target, role, database, policyVersion, causes },
    reading: asking.analyses.map(({ verb, fingerprint }) => [verb, fingerprint]),
    names: original.names,
    identity: [identity.issuer, identity.subject],
    delegation: identity.delegation.map(({ issuer, subject }) => [issuer, subject]),
    ...(asking.perInstance && { instance: identity.instance }),
  })
  const hash = createHash('sha256')
  for (const piece of [Buffer.from(about), ...original.pieces]) {
    const length = Buffer.alloc(8)
    length.writeBigUInt64BE(BigInt(piece.length))
    hash.update(length).update(piece)
  }
  return hash.digest('hex')
}
