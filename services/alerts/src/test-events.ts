/** For tests: verdicts and findings as the analyzer makes them, commands, and what waits for an answer. */
import type {
  AccessRequest,
  Alert,
  CommandEvent,
  CommandRequest,
  FindingEvent,
  VerdictEvent,
} from '@portcullis/kernel'

export const issuer = 'https://idp.example'

export function verdictOf(verdictId: string, more: Partial<VerdictEvent> = {}): VerdictEvent {
  return {
    verdictId,
    state: 'active',
    action: 'block',
    subject: { kind: 'identity', issuer, id: 'agent-7', instance: '' },
    target: 'shop',
    issuedAt: 1_000_000,
    until: 600_000_000,
    ratePerMinute: 0,
    cancelRunning: false,
    reason: 'pressure',
    explanation: '900 commands/min, 12 expected',
    findings: [],
    causeCommandId: 's1.7',
    causeReceivedAt: 900_000,
    issuedBy: 'analyzer',
    ...more,
  }
}

export function findingOf(findingId: string, more: Partial<FindingEvent> = {}): FindingEvent {
  return {
    findingId,
    at: 1_000_000,
    identity: {
      issuer,
      subject: 'agent-7',
      groups: [],
      delegation: [],
      instance: 'jti-1',
      task: '',
      ancestors: [],
    },
    sessionId: 's1',
    target: 'shop',
    detector: 'rate',
    feature: 'command-rate',
    severity: 'warning',
    score: 12.5,
    observed: 900,
    expected: 12,
    unit: 'commands/min',
    explanation: '900 commands/min, 12 expected',
    commandIds: ['s1.6', 's1.7'],
    windowStart: 0,
    windowEnd: 1_000_000,
    ...more,
  }
}

export function commandOf(number: number, more: Partial<CommandEvent> = {}): CommandEvent {
  const sessionId = '01J8ZC3V5Q8T9W2X4Y6Z8A0B1C'
  return {
    ...{ eventId: `r:${number}`, commandId: `${sessionId}.${number}`, phase: 'finished', sessionId },
    link: { recorder: 'r', seq: number, prevHash: Buffer.alloc(32), hash: Buffer.alloc(32) },
    identity: findingOf('f').identity,
    ...{ target: 'shop', role: '', database: 'shop', protocol: 'postgres', stage: 'run' },
    origin: { address: '192.0.2.1', country: '', region: '', asn: 0, asOrg: '' },
    ...{ text: 'delete from orders', textBytes: 18, fingerprint: 'f', verb: 'DELETE', effects: ['delete'] },
    objects: [{ kind: 'table', namespace: 'public', name: 'orders', effect: 'delete', columns: [] }],
    privileged: false,
    decision: {
      ...{ id: 'd', action: 'hold', reason: 'policy_hold', rule: 'x', verdictId: '', approvalId: '' },
      ...{ policyVersion: 'p', enforced: true, delayUs: 0 },
    },
    attributes: {},
    ...{ outcome: 'refused', errorCode: '42501', tag: '' },
    ...{ rowsIn: 0, rowsOut: 0, rowsAffected: 0, bytesIn: 0, bytesOut: 0, masked: [] },
    ...{ startedAt: 1_000_000, durationUs: 100, proxy: { name: 'gate-1', version: '0' } },
    ...more,
  }
}

export function alertOf(more: Partial<Alert> = {}): Alert {
  return {
    dedupKey: 'portcullis-1',
    action: 'trigger',
    severity: 'critical',
    title: 'agent-7 blocked at shop',
    verdict: verdictOf('v1'),
    findings: [findingOf('f1')],
    at: Date.UTC(2026, 10, 22, 10) * 1000,
    ...more,
  }
}

export function heldOf(more: Partial<CommandRequest> = {}): CommandRequest {
  const delegation = [{ issuer, subject: 'ann', kind: 'person' }]
  return {
    ...{ kind: 'command', digest: 'd'.repeat(64), target: 'shop', role: '', use: 'once' },
    identity: { ...findingOf('f').identity, delegation },
    ...{ quorum: [{ groups: ['dba'], count: 1 }], excludesDelegators: true, waiting: true },
    ...{ deadline: 600e6, usableUs: 300e6, protocol: 'postgres', database: 'shop', sessionId: 's1' },
    ...{ statement: 'delete from orders', fingerprint: 'f', values: [], policyVersion: 'p1' },
    ...{ rule: 'where-missing', verdictId: '', estimatedRows: 1200 },
    ...more,
  }
}

export function accessOf(more: Partial<AccessRequest> = {}): AccessRequest {
  const { digest, identity, target, quorum, excludesDelegators, deadline, usableUs } = heldOf()
  return {
    ...{ kind: 'access', digest, identity, target, role: 'report', quorum, excludesDelegators, deadline },
    ...{ usableUs, reason: 'CHG-4711', ...more },
  }
}
