/** Events for the projector's tests: every field filled with something that is not its default. */
import { createHash } from 'node:crypto'
import type { CommandEvent, SessionEvent, SignInEvent } from '@portcullis/kernel'
import { type Codecs, linkHash } from '@portcullis/platform/codec'

export const issuer = 'https://idp.example'

export interface Sampled {
  readonly session?: number
  readonly number?: number
  readonly phase?: CommandEvent['phase']
  readonly seq?: number
  readonly startedAt?: number
  readonly subject?: string
}

/** Sealed: its hash is right for its fields. */
export function sampleCommand(codecs: Codecs, of: Sampled = {}): CommandEvent {
  const { session = 1, number = 1, phase = 'finished', seq = 1, subject = 'agent-1' } = of
  const startedAt = of.startedAt ?? Date.UTC(2026, 10, 20, 23, 59, 59, 999) * 1000 + 123
  const sessionId = `s${session}`
  const event: CommandEvent = {
    eventId: `r1.${seq}`,
    commandId: `${sessionId}.${number}`,
    phase,
    sessionId,
    link: { recorder: 'r1', seq, prevHash: sha(`${seq - 1}`), hash: Buffer.alloc(0) },
    identity: {
      issuer,
      subject,
      groups: ['ci', 'dev'],
      delegation: [{ issuer, subject: 'ann', kind: 'person' }],
      instance: 'jti-1',
      task: 'nightly report',
      ancestors: ['https://ci.example jti-0'],
    },
    target: 'shop',
    role: 'reader',
    database: 'orders',
    protocol: 'postgres',
    origin: {
      address: '203.0.113.9',
      country: 'DE',
      region: 'DE-BE',
      asn: 4_200_000_000,
      asOrg: 'Example AS',
    },
    stage: 'run',
    text: `select 'é\u{1f600}' from t${number}\n\n-- it's; "quoted"`,
    textBytes: 41,
    fingerprint: 'f00d',
    verb: 'SELECT',
    effects: ['read', 'execute'],
    objects: [
      { kind: 'table', namespace: 'public', name: `t${number}`, effect: 'read', columns: ['a', 'b'] },
      { kind: 'function', namespace: '', name: 'now', effect: 'execute', columns: [] },
    ],
    privileged: true,
    decision: {
      id: `d-${sessionId}.${number}`,
      action: 'throttle',
      reason: 'verdict_throttle',
      rule: 'rule-1',
      verdictId: 'v1',
      approvalId: 'a1',
      policyVersion: '7',
      enforced: false,
      delayUs: 1500,
    },
    attributes: { hour: '23', 'name with space': '"x"' },
    outcome: phase === 'finished' ? 'error' : null,
    errorCode: '42501',
    tag: 'SELECT 3',
    rowsIn: 1,
    rowsOut: 3,
    rowsAffected: 2,
    bytesIn: 100,
    bytesOut: 2 ** 40,
    masked: [{ column: 'email', values: 3 }],
    startedAt,
    durationUs: phase === 'started' ? 500_000 : phase === 'progress' ? 10_000_000 : 12_345_678,
    proxy: { name: 'proxy-1', version: '0.1.0' },
  }
  const hash = linkHash(event.link.prevHash, codecs.command, event)
  return { ...event, link: { ...event.link, hash } }
}

export function sampleSession(codecs: Codecs, phase: SessionEvent['phase'], seq = 1): SessionEvent {
  const command = sampleCommand(codecs)
  const event: SessionEvent = {
    eventId: `r1.${seq}`,
    phase,
    sessionId: 's1',
    link: { recorder: 'r1', seq, prevHash: sha(`${seq - 1}`), hash: Buffer.alloc(0) },
    at: command.startedAt + (phase === 'closed' ? 60_000_000 : 0),
    startedAt: command.startedAt,
    identity: phase === 'refused' ? null : command.identity,
    target: 'shop',
    role: 'reader',
    database: 'orders',
    protocol: 'postgres',
    origin: command.origin,
    client: 'psql',
    tls: 'TLSv1.3',
    tokenExpiresAt: phase === 'refused' ? null : command.startedAt + 3_600_000_000,
    decision: command.decision,
    detail: `it was ${phase}`,
    commands: 5,
    rowsOut: 6,
    bytesIn: 7,
    bytesOut: 8,
    proxy: command.proxy,
  }
  const hash = linkHash(event.link.prevHash, codecs.session, event)
  return { ...event, link: { ...event.link, hash } }
}

// avsc takes Buffers only.
function sha(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

export function sampleSignIn(kind: SignInEvent['kind']): SignInEvent {
  const at = Date.UTC(2026, 10, 20, 12) * 1000
  return {
    eventId: `signin-${kind}`,
    kind,
    at,
    provider: 'corp',
    ...{ issuer, subject: 'ann', groups: ['dev'], instance: 'jti-2' },
    address: '203.0.113.9',
    ...{ client: '', scope: '', ref: '', userCode: '', until: at + 60_000_000 },
    reason: 'replayed',
    detail: 'the assertion was used before',
    requestId: 'request-1',
    sealed: 'never shown',
  }
}
