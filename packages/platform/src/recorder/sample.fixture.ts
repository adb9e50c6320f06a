/** Sessions and commands as the gate would record them, for the tests of this folder. */
import type { Analysis, CommandResult, Decision, Intent, SessionRecord } from '@portcullis/kernel'

export const allow: Decision = {
  id: 'd-1',
  action: 'allow',
  reason: '',
  rule: '',
  verdictId: '',
  approvalId: '',
  policyVersion: 'v1',
  enforced: true,
  delayUs: 0,
}

export const ok: CommandResult = {
  outcome: 'ok',
  stage: 'run',
  errorCode: '',
  tag: 'SELECT 1',
  rowsIn: 0,
  rowsOut: 1,
  rowsAffected: 0,
  bytesIn: 20,
  bytesOut: 40,
}

export const noTotals = { commands: 0, rowsOut: 0, bytesIn: 0, bytesOut: 0 }

export function sessionRecord(sessionId: string): SessionRecord {
  return {
    sessionId,
    identity: {
      issuer: 'https://ci',
      subject: 'job',
      groups: ['ci'],
      delegation: [],
      instance: 'jti-1',
      task: '',
      ancestors: [],
    },
    target: 'orders',
    role: '',
    database: 'shop',
    protocol: 'postgres',
    origin: { address: '127.0.0.1', country: '', region: '', asn: 0, asOrg: '' },
    client: 'psql',
    tls: '',
    tokenExpiresAt: null,
    startedAt: 1_700_000_000_000_000,
  }
}

export function analysisOf(text: string): Analysis {
  return {
    text,
    textBytes: Buffer.byteLength(text),
    fingerprint: 'f',
    verb: 'SELECT',
    effects: ['read'],
    objects: [{ kind: 'table', namespace: 'public', name: 't', effect: 'read', columns: ['a'] }],
    privileged: false,
    returnsRows: true,
    undoes: false,
  }
}

export function intentOf(sessionId: string, number: number, analysis: Analysis): Intent {
  return {
    sessionId,
    number,
    analysis,
    decision: allow,
    startedAt: 1_700_000_000_000_000 + number,
    attributes: {},
  }
}
