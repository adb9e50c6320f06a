/**
 * Login: token -> identity -> is the token good for this target, and may this identity reach it? -> session, recorded
 * before anything is sent to the target. A refused login leaves its reason in the log and the trail; the client hears "not authorised" and a decision id.
 */
import {
  type CarriedUse,
  judgeCarried,
  type JudgeUse,
  outOfScope,
  type PinAddress,
  type Presented,
  type Scope,
} from '@portcullis/identity'
import {
  type Caps,
  type Clock,
  type Door,
  type Identity,
  identityKey,
  type LoginRequest,
  type Budgets,
  type Recorder,
  type Refusal,
  type SessionRecord,
  type TargetAccess,
  verdictKeys,
} from '@portcullis/kernel'
import type { Gate } from './gate.ts'
import type { Grants } from './grants.ts'
import { decision, refusal, refusalByVerdict } from './refusals.ts'
import { type LiveSession, openSession } from './session.ts'
import type { Rules } from './ruling.ts'
import type { SignIn, TargetBook } from './targets.ts'
import type { VerdictTable } from './verdicts.ts'

/** Who a token proves, and what it is good for. The identity package's ScopedProof fits. */
export interface Proven {
  readonly identity: Identity
  readonly expiresAtUs: number
  readonly scope: Scope
  readonly tokenId: string
  readonly pinAddress?: PinAddress
  readonly carried?: readonly CarriedUse[]
}

export interface DoorDeps {
  /** Rejects with an error whose `code` and `message` say why the token proves nobody; `proven`: whom it did until it expired. */
  readonly verify: (token: string, presented: Presented) => Promise<Proven>
  /** Whether the token may be used from here, by where else it was. */
  readonly judgeUse: JudgeUse
  /** Why an identity that was proven before no longer is, by what it was proven with. */
  readonly withdrawn: (identity: Identity) => string | undefined
  readonly targets: TargetBook
  /** Access that people gave for a while. */
  readonly grants: Pick<Grants, 'find' | 'isInForce'>
  readonly gate: Gate
  readonly rules: Rules
  readonly recorder: Recorder
  readonly budgets: Budgets
  readonly verdicts: VerdictTable
  readonly clock: Clock
  readonly ids: () => string
  readonly mode: 'enforce' | 'observe'
  readonly controlFresh: () => boolean
  readonly log: { warn(fields: object, message: string): void }
  /** Counts logins by their result. */
  readonly onLogin: (result: string) => void
}

/** The sessions of this process. */
export interface Sessions {
  readonly door: Door
  readonly live: ReadonlySet<LiveSession>
  /** From now on logins are refused and sessions end as they fall idle. */
  drain(): void
  /** What was withdrawn may have changed: ends the sessions that are concerned. */
  withdraw(): void
  /** Ends the sessions that rest on access which is over. */
  lapse(): void
}

export function createSessions(deps: DoorDeps): Sessions {
  const { recorder, clock, ids, verdicts, targets } = deps
  const live = new Set<LiveSession>()
  const over = new WeakSet<LiveSession>()
  let draining: Refusal | undefined
  // Not made in `login`: what a session holds would then hold the whole request, token and all.
  const gone = (session: LiveSession) => void live.delete(session)

  async function login(request: LoginRequest): Promise<LiveSession | Refusal> {
    const sessionId = ids()
    const denied = (why: string, proven: Proven | undefined, seen?: Refusal) =>
      deny(request, sessionId, why, proven, seen)
    if (draining) return denied('the proxy is stopping', undefined, draining)

    let proven: Proven
    try {
      const { token, certificate, connection } = request
      const { address } = connection.origin
      proven = await deps.verify(token, { address, ...(certificate && { certificate }) })
    } catch (error) {
      const { code = 'error', message, proven: once } = error as Error & { code?: string; proven?: Proven }
      return denied(`${code}: ${message}`, once)
    }
    const { identity } = proven
    const use = deps.judgeUse(request.token, proven, request.connection.origin.address)
    if ('why' in use) return denied(use.why, proven)
    const elsewhere = judgeCarried(deps.judgeUse, proven.carried)
    if (elsewhere !== undefined) return denied(elsewhere, proven)
    const beyond = outOfScope(proven.scope, request.target, request.role)
    if (beyond !== undefined) return denied(beyond, proven)
    const access = await targets.authorise(identity, request, deps.grants.find(identity, request))
    if (!access.allowed) return denied(access.why, proven, ownFault(access))
    let session: LiveSession | Refusal | undefined
    try {
      session = await open(request, sessionId, proven, access, use.attributes)
      return session
    } finally {
      // A session lets go of what it was lent when it ends.
      if (!session || 'reason' in session) access.signIn?.release()
    }
  }

  async function open(
    request: LoginRequest,
    sessionId: string,
    proven: Proven,
    access: Extract<Authorised, { allowed: true }>,
    attributes: Readonly<Record<string, string>>,
  ): Promise<LiveSession | Refusal> {
    const { identity } = proven
    const denied = (why: string, of: Proven, seen?: Refusal) => deny(request, sessionId, why, of, seen)
    // Where its credentials are kept may have taken a while.
    if (draining) return denied('the proxy is stopping', proven, draining)
    if (!deps.controlFresh())
      return denied(
        'the control state is stale',
        proven,
        refusal('control_stale', { id: ids(), policyVersion: targets.version }),
      )
    const verdict = verdicts.find(
      verdictKeys({ identity, sessionId, target: request.target }),
      request.target,
    )
    if (verdict?.action === 'kill' && deps.mode === 'enforce') {
      return denied(
        `verdict ${verdict.verdictId}`,
        proven,
        refusalByVerdict(verdict, ids(), targets.version, clock.nowUs(), 0),
      )
    }
    const budget = deps.budgets.open(
      request.target,
      identityKey(identity),
      deps.mode === 'observe' ? withoutSessions(access.caps) : access.caps,
    )
    if (!budget) {
      return denied(
        'the cap on sessions is reached',
        proven,
        refusal('cap_sessions', { id: ids(), policyVersion: targets.version, rule: 'sessions' }),
      )
    }

    const record = sessionRecord(request, sessionId, proven, access.access.database)
    const allow = decision({
      id: sessionId,
      action: 'allow',
      policyVersion: deps.rules.versionWith(access.version),
      approvalId: access.grantId ?? '',
    })
    try {
      recorder.session(record, 'opened', allow, '')
      await recorder.commit()
    } catch (error) {
      budget.close()
      deps.log.warn({ err: error, target: request.target }, 'login refused: it cannot be recorded')
      deps.onLogin('recording_unavailable')
      return refusal('recording_unavailable', { id: ids(), policyVersion: targets.version })
    }
    deps.onLogin('opened')
    const { version: targetsVersion, labels, signIn, caps, grantId } = access
    const session = openSession(
      {
        ...{ record, identity, access: access.access, signIn, caps, labels, budget },
        ...{ allow, attributes, targetsVersion, grantId },
      },
      deps,
      gone,
    )
    live.add(session)
    if (draining) session.drain(draining)
    endWhereWithdrawn(session)
    endWhereOver(session)
    return session
  }

  /** Also of a session that was just opened: its key may have been withdrawn while the login was being recorded. */
  function endWhereWithdrawn(session: LiveSession): void {
    const why = deps.withdrawn(session.identity)
    if (why === undefined || deps.mode === 'observe') return
    deps.log.warn({ session: session.id, why, subject: session.identity.subject }, 'session ended')
    session.kill(refusal('credential_withdrawn', { id: ids(), policyVersion: targets.version }))
  }

  /** The time of what it rests on may have ended while it was opened. */
  function endWhereOver(session: LiveSession): void {
    const { grantId } = session
    if (grantId === undefined || deps.grants.isInForce(grantId) || deps.mode === 'observe') return
    if (over.has(session)) return
    over.add(session)
    const { version: policyVersion } = targets
    session.kill(refusal('access_over', { id: ids(), policyVersion, approvalId: grantId }))
  }

  function ownFault({ told, reason }: Extract<Authorised, { allowed: false }>): Refusal | undefined {
    if (reason !== undefined) return refusal(reason, { id: ids(), policyVersion: targets.version })
    return told === undefined
      ? undefined
      : { ...refusal('not_authorised', { id: ids(), policyVersion: targets.version }), message: told }
  }

  /** What the client may hear is `seen`, or else that it is not authorised. */
  async function deny(
    request: LoginRequest,
    sessionId: string,
    why: string,
    proven: Proven | undefined,
    seen?: Refusal,
  ): Promise<Refusal> {
    const refused = seen ?? refusal('not_authorised', { id: ids(), policyVersion: targets.version })
    const { address } = request.connection.origin
    deps.log.warn(
      {
        decision: refused.decision.id,
        why,
        target: request.target,
        subject: proven?.identity.subject,
        address,
      },
      'login refused',
    )
    deps.onLogin(refused.reason)
    try {
      recorder.session(
        sessionRecord(request, sessionId, proven, request.database),
        'refused',
        refused.decision,
        why,
      )
      await recorder.commit()
    } catch (error) {
      // The login is refused either way; the log above has it.
      deps.log.warn({ err: error, decision: refused.decision.id }, 'the refusal cannot be recorded')
    }
    return refused
  }

  function sessionRecord(
    request: LoginRequest,
    sessionId: string,
    proven: Proven | undefined,
    database: string,
  ): SessionRecord {
    const { connection, target, role, protocol, client, tls } = request
    return {
      sessionId,
      identity: proven?.identity ?? null,
      target: clipped(target),
      role: clipped(role),
      database: clipped(database),
      protocol,
      origin: connection.origin,
      client: clipped(client),
      tls,
      tokenExpiresAt: proven?.expiresAtUs ?? null,
      startedAt: clock.nowUs(),
    }
  }

  return {
    door: { login },
    live,
    drain() {
      draining ??= refusal('draining', { id: ids(), policyVersion: targets.version })
      for (const session of [...live]) session.drain(draining)
    },
    withdraw() {
      for (const session of [...live]) endWhereWithdrawn(session)
    },
    lapse() {
      for (const session of [...live]) endWhereOver(session)
    },
  }
}

/** Anyone may fail to log in: what a stranger writes into the record is no longer than a name can be. */
function clipped(text: string): string {
  return text.length > nameCharsMax ? `${text.slice(0, nameCharsMax)}…` : text
}

const nameCharsMax = 128

function withoutSessions({ sessions: _, ...caps }: Caps): Caps {
  return caps
}

/** What `TargetBook.authorise` answers. */
export type Authorised =
  | {
      readonly allowed: true
      /** Of the book that said so. */
      readonly version: string
      readonly access: TargetAccess
      readonly caps: Caps
      readonly labels: Readonly<Record<string, string>>
      /** The access that people gave, where it would not be allowed without. */
      readonly grantId?: string
      /** To be released, once. Absent where the credentials in `access` are nobody's to lend. */
      readonly signIn?: SignIn
    }
  | {
      readonly allowed: false
      readonly why: string
      /** What the client may hear, where the fault is the gate's and not the client's. */
      readonly told?: string
      /** Where it may pass. */
      readonly reason?: 'credentials_unavailable'
    }
