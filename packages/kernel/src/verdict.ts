import type { Identity, VerdictAction, VerdictSubject } from './events.gen.ts'
import { identityKey } from './identity.ts'

export type { VerdictAction, VerdictSubject } from './events.gen.ts'

/** What is to be enforced on whom, until when, and why. Several may hold at once and the strictest counts. */
export interface Verdict {
  readonly verdictId: string
  readonly action: VerdictAction
  readonly subject: VerdictSubject
  /** Only at this target; empty for all. */
  readonly target: string
  readonly issuedAt: number
  /** Absolute end, microseconds since 1970 UTC. */
  readonly until: number
  /** For throttle: commands a minute let through, over the whole fleet. */
  readonly ratePerMinute: number
  /** For block: also cancel the command that is running. */
  readonly cancelRunning: boolean
  readonly reason: string
  readonly explanation: string
}

/** Whom a session belongs to, as far as verdicts go. */
export interface VerdictTarget {
  readonly identity: Identity
  readonly sessionId: string
  readonly target: string
}

const strictness: Record<VerdictAction, number> = { throttle: 1, hold: 2, block: 3, kill: 4 }

/** Every key under which a verdict about this session may stand; see `keysOfVerdict`. */
export function verdictKeys(session: VerdictTarget): string[] {
  const { identity, sessionId } = session
  return [
    `identity ${identityKey(identity)}`,
    `instance ${identityKey(identity)} ${identity.instance}`,
    `session ${sessionId}`,
    `token ${identity.issuer} ${identity.instance}`,
    ...identity.ancestors.flatMap((token) => ancestorKeys(token, identity)),
    ...identity.delegation.map((actor) => `delegation ${identityKey(actor)}`),
  ]
}

/**
 * A token dies with what it was traded from: with its token, and with the instance that it was, whichever of those who
 * are named here that belonged to.
 */
function ancestorKeys(token: string, { issuer, subject, delegation }: Identity): string[] {
  // An issuer's address has no space; what it calls a token may.
  const at = token.indexOf(' ')
  const [tokenIssuer, tokenId] = [token.slice(0, at), token.slice(at + 1)]
  return [
    `token ${token}`,
    ...[{ issuer, subject }, ...delegation]
      .filter((actor) => actor.issuer === tokenIssuer)
      .map((actor) => `instance ${identityKey(actor)} ${tokenId}`),
  ]
}

/**
 * The keys under which a verdict stands: a session that has one of them is reached. Who is blocked or killed takes along
 * all who act for them, whose authority is theirs; how fast they may go, and what a person must see first, is each one's own.
 */
export function keysOfVerdict({ subject, action }: Pick<Verdict, 'subject' | 'action'>): readonly string[] {
  const own = verdictKey(subject)
  const stops = action === 'block' || action === 'kill'
  return stops && subject.kind === 'identity' ? [own, verdictKey({ ...subject, kind: 'delegation' })] : [own]
}

/** Names whom a verdict is about. */
export function verdictKey({ kind, issuer, id, instance }: VerdictSubject): string {
  switch (kind) {
    case 'identity':
      return `identity ${identityKey({ issuer, subject: id })}`
    case 'instance':
      return `instance ${identityKey({ issuer, subject: id })} ${instance}`
    case 'session':
      return `session ${id}`
    case 'token':
      return `token ${issuer} ${instance}`
    case 'delegation':
      return `delegation ${identityKey({ issuer, subject: id })}`
  }
}

/** The verdict to enforce: kill over block over hold over throttle; of two throttles the slower, else the one that lasts longer. */
export function strictest(a: Verdict | undefined, b: Verdict | undefined): Verdict | undefined {
  if (!a || !b) return a ?? b
  if (strictness[a.action] !== strictness[b.action])
    return strictness[a.action] > strictness[b.action] ? a : b
  if (a.action === 'throttle' && a.ratePerMinute !== b.ratePerMinute)
    return a.ratePerMinute < b.ratePerMinute ? a : b
  return a.until >= b.until ? a : b
}
