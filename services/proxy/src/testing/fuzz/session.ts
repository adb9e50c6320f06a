/** The proxy's own session around a fuzzed connection: the real gate, verdict table, caps and session, a trail in memory. */
import {
  type Caps,
  type SessionBudget,
  systemClock,
  type Verdict,
  type VerdictAction,
} from '@portcullis/kernel'
import { createGate } from '../../gate.ts'
import { decision } from '../../refusals.ts'
import { type LiveSession, openSession } from '../../session.ts'
import { createRules } from '../../ruling.ts'
import { createVerdictTable } from '../../verdicts.ts'
import { secrets } from './client-wire.ts'
import { createFuzzedPeople } from './people.ts'
import type { ScriptOptions } from './script.ts'
import type { Trail } from './trail.ts'

const clock = systemClock
const identity = {
  issuer: 'https://idp.test',
  subject: 'ann',
  groups: ['agents'],
  delegation: [],
  instance: 'ann-1',
  task: '',
  ancestors: [],
}
const windowRows = 200
const windowBytes = 20_000

export interface FuzzedSession {
  readonly session: LiveSession
  /** Only this verdict stands from now on. */
  judge(action: VerdictAction | 'none', cancelRunning: boolean): void
  /** Whether the gate has given this id out. */
  isGateId(id: string): boolean
  drain(): void
}

export function openFuzzed(options: ScriptOptions, trail: Trail): FuzzedSession {
  let issued = 0
  const ids = () => `g${++issued}`
  const verdicts = createVerdictTable(clock)
  const settings = {
    policyVersion: () => 'fuzz',
    mode: 'enforce',
    throttleDelayMsMax: 2000,
    sessionMsMax: 3_600_000,
  } as const
  const rules = createRules(undefined)
  const gate = createGate({
    recorder: trail,
    verdicts,
    clock,
    ids,
    settings,
    rules,
    controlFresh: () => true,
    ...(options.peopleTurns !== undefined && { holds: createFuzzedPeople(options.peopleTurns, ids) }),
  })
  const caps: Caps = { windowMs: 60_000, ...options.caps }
  const allow = decision({ id: ids(), action: 'allow', policyVersion: 'fuzz' })
  const session = openSession(
    {
      record: {
        sessionId: 's',
        identity,
        target: 'shop',
        role: '',
        database: 'shop',
        protocol: 'postgres',
        origin: { address: '127.0.0.1', country: '', region: '', asn: 0, asOrg: '' },
        client: 'fuzz',
        tls: '',
        tokenExpiresAt: null,
        startedAt: clock.nowUs(),
      },
      identity,
      access: {
        name: 'shop',
        hosts: [{ host: secrets.host, port: secrets.port }],
        sessionAttrs: 'any',
        loadBalance: 'disable',
        database: 'shop',
        tls: { mode: 'disable' },
        credentials: { user: secrets.user, password: secrets.password },
        connectTimeoutMs: 1000,
        keepalive: { idleSec: 30, intervalSec: 10, count: 3 },
        timeouts: options.timeouts,
      },
      caps,
      labels: {},
      targetsVersion: 'fuzz',
      budget: createBudget(caps, options.waitEvery),
      allow,
      attributes: {},
    },
    {
      ...{ gate, recorder: trail, verdicts, clock, ids, mode: 'enforce' as const },
      log: { warn: () => undefined },
    },
    () => undefined,
  )
  return {
    session,
    judge: (action, cancelRunning) =>
      verdicts.replace(action === 'none' ? [] : [verdict(action, cancelRunning)]),
    isGateId: (id) => /^g\d+$/.test(id) && Number(id.slice(1)) <= issued,
    drain: () => session.drain(gate.refuse('draining')),
  }
}

function verdict(action: VerdictAction, cancelRunning: boolean): Verdict {
  return {
    verdictId: `v-${action}`,
    action,
    subject: { kind: 'identity', issuer: identity.issuer, id: identity.subject, instance: '' },
    target: '',
    issuedAt: clock.nowUs(),
    until: clock.nowUs() + 60_000_000,
    ratePerMinute: 6000,
    cancelRunning,
    reason: 'fuzz',
    explanation: 'the fuzzer says so',
  }
}

/** A window that is never refilled, and a rate that asks for a moment every so many units. */
function createBudget(caps: Caps, waitEvery: number): SessionBudget {
  const left = {
    rows: caps.rowsPerWindow === undefined ? Infinity : windowRows,
    bytes: caps.bytesPerWindow === undefined ? Infinity : windowBytes,
  }
  let asked = 0
  const wait = () => (waitEvery > 0 && ++asked % waitEvery === 0 ? 1 : 0)
  const lease = (kind: 'rows' | 'bytes', wanted: number) => {
    const got = Math.min(wanted, left[kind])
    left[kind] -= got
    return got
  }
  return {
    takeCommands: wait,
    takeThrottled: wait,
    takeCounted: () => 0,
    leaseRows: (wanted) => lease('rows', wanted),
    leaseBytes: (wanted) => lease('bytes', wanted),
    returnRows: (unused) => {
      left.rows += unused
    },
    returnBytes: (unused) => {
      left.bytes += unused
    },
    windowFreesInMs: () => 1000,
    close: () => undefined,
  }
}
