/**
 * What a token that is traded for others may say (RFC 8693). Pure. A child never has more than its parents: no group, no
 * target, no role, no network, no second of life, no use without the key that a parent was bound to; and it names every token it came from, so that it dies with any of them.
 */
import { type Actor, identityKey } from '@portcullis/kernel'
import { IdentityError } from '../errors.ts'
import type { Grant } from './own-token.ts'
import { type ScopedProof, tokenName } from './proof.ts'
import { intersection, type Scope, type WantedScope } from './scope.ts'

export interface Trade {
  /** On whose authority. */
  readonly subject: ScopedProof
  /** Who will act, where that is not the subject itself. */
  readonly actor?: ScopedProof
  readonly wanted: WantedScope
  /** What the agent is sent to do; '' for what the subject's token says. */
  readonly task: string
}

export interface TradeLimits {
  readonly nowUs: number
  readonly tokenSecMax: number
  /** Tokens that one may descend from. */
  readonly ancestorsMax: number
}

const delegationMax = 8

/** Throws IdentityError scope (asks for more than there is), target, delegation (a chain is too long) or expired. */
export function tradedGrant({ subject, actor, wanted, task }: Trade, limits: TradeLimits): Grant {
  const { nowUs, tokenSecMax, ancestorsMax } = limits
  const parents = actor ? [subject, actor] : [subject]
  const expiresAtUs =
    Math.floor(Math.min(nowUs + tokenSecMax * 1e6, ...parents.map((parent) => parent.expiresAtUs)) / 1e6) *
    1e6
  if (expiresAtUs <= nowUs) throw new IdentityError('expired', 'what is traded in is about to end')
  const ancestors = unique(
    parents.flatMap(({ identity }) => [...identity.ancestors, tokenName(identity)]),
    (name) => name,
  )
  if (ancestors.length > ancestorsMax)
    throw new IdentityError('delegation', `it would descend from more than ${ancestorsMax} tokens`)
  const { identity } = subject
  const delegation = actor
    ? unique([...identity.delegation, actorOf(subject), ...actor.identity.delegation], identityKey)
    : identity.delegation
  if (delegation.length > delegationMax)
    throw new IdentityError('delegation', `it would act for more than ${delegationMax}`)
  const { issuer, subject: name } = (actor ?? subject).identity
  // Whoever will hold it has the actor's key; what the subject's token was bound to besides stays a condition.
  const carried = parents.flatMap((parent) => parent.carried ?? [])
  const confirmation = { ...subject.confirmation, ...actor?.confirmation }
  return {
    identity: {
      issuer,
      subject: name,
      groups: narrowed('group', identity.groups, wanted.groups),
      delegation,
      task: taskOf(identity.task, task),
      ancestors,
    },
    // The groups are the subject's, and so is what they mean.
    ...(subject.provider !== undefined && { provider: subject.provider }),
    scope: scopeOf(actor ? inCommon(subject.scope, actor.scope) : subject.scope, wanted),
    expiresAtUs,
    ...(Object.keys(confirmation).length > 0 && { confirmation }),
    ...(carried.length > 0 && { carried }),
  }
}

function scopeOf(given: Scope, wanted: WantedScope): Scope {
  const targets = wanted.targets ?? given.targets
  const roles = wanted.roles ?? given.roles
  return {
    // What was bound to a network stays so: nobody carries it elsewhere by a trade.
    ...(given.networks && { networks: given.networks }),
    ...(targets && { targets: given.targets ? narrowed('target', given.targets, targets) : targets }),
    ...(roles && { roles: given.roles ? narrowed('role', given.roles, roles) : roles }),
  }
}

function inCommon(subject: Scope, actor: Scope): Scope {
  const common = intersection(subject, actor)
  if (common.targets?.length === 0 || common.roles?.length === 0)
    throw new IdentityError('target', 'subject_token and actor_token have no target or no role in common')
  return common
}

/** Throws where more is asked for than there is: what was silently left out would be missed later, and elsewhere. */
function narrowed(
  what: 'group' | 'target' | 'role',
  given: readonly string[],
  wanted: readonly string[] | undefined,
): readonly string[] {
  const beyond = wanted?.find((name) => !given.includes(name))
  if (beyond === undefined) return wanted ?? given
  throw new IdentityError(
    what === 'target' ? 'target' : 'scope',
    `what is traded in does not have ${what} ${JSON.stringify(beyond)}`,
  )
}

function taskOf(given: string, wanted: string): string {
  if (given !== '' && wanted !== '' && given !== wanted)
    throw new IdentityError('scope', 'what is traded in was given for another task')
  return wanted || given
}

/** Whoever a person sent has somebody behind them: with nobody there, it is the person. */
function actorOf({ identity: { issuer, subject, delegation }, provider }: ScopedProof): Actor {
  const isPerson = provider !== undefined && delegation.length === 0
  return { issuer, subject, kind: isPerson ? 'person' : 'unknown' }
}

/** The first of each; of a handful. */
function unique<T>(items: readonly T[], keyOf: (item: T) => string): T[] {
  return items.filter((item, at) => items.findIndex((other) => keyOf(other) === keyOf(item)) === at)
}
