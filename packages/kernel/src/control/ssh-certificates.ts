/**
 * SSH certificates that were signed: kept as events alone, since what their holders do on a server of their own is in no
 * trail of ours. The fold holds nothing of them, however many there are, and one aggregate takes them all.
 */
import type { Aggregate } from './aggregate.ts'

export type SshCertificateChange = {
  readonly type: 'ssh-certificate.issued'
  /** Decimal: 64 bits. */
  readonly serial: string
  /** What the server's log shows of whose it is. */
  readonly keyId: string
  /** Of the certified key, `SHA256:…`. */
  readonly fingerprint: string
  readonly principals: readonly string[]
  /** Networks it is good from; all where empty. */
  readonly sourceAddresses: readonly string[]
  readonly expiresAt: number
}

export const sshCertificateControl: Aggregate<SshCertificateChange, object> = {
  readers: {
    'ssh-certificate.issued': (read) => {
      const serial = read.text('serial', 1, 20)
      if (!/^\d*$/.test(serial)) read.problem('serial', 'decimal digits')
      return {
        type: 'ssh-certificate.issued',
        serial,
        keyId: read.text('keyId', 1, 256),
        fingerprint: read.text('fingerprint', 1, 64),
        principals: read.texts('principals', 64, 128),
        sourceAddresses: read.texts('sourceAddresses', 64, 64),
        expiresAt: read.micros('expiresAt'),
      }
    },
  },
  idOf: () => 'ssh-certificates',
  apply: () => undefined,
}
