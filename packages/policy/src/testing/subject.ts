import type { Live, Subject } from '../types.ts'

export function subject(
  parts: Partial<Omit<Subject, 'identity' | 'origin'>> & {
    readonly identity?: Partial<Subject['identity']>
    readonly origin?: Partial<Subject['origin']>
  } = {},
): Subject {
  const { identity, origin, ...rest } = parts
  return {
    protocol: 'postgres',
    target: 'shop',
    labels: { env: 'prod' },
    role: '',
    database: 'shop',
    ...rest,
    identity: {
      issuer: 'https://idp.test',
      subject: 'agent:ann',
      groups: ['agents'],
      delegation: [],
      instance: 'ann-1',
      task: '',
      ancestors: [],
      ...identity,
    },
    origin: { address: '192.0.2.1', country: '', region: '', asn: 0, asOrg: '', ...origin },
  }
}

/** A Wednesday at noon. */
export const noonMs = Date.parse('2026-01-07T12:00:00Z')

export function live(parts: Partial<Live['totals']> & { readonly nowMs?: number } = {}): Live {
  const { nowMs = noonMs, ...totals } = parts
  return { nowMs, totals: { commands: 0, rowsOut: 0, bytesIn: 0, bytesOut: 0, ageMs: 0, ...totals } }
}
