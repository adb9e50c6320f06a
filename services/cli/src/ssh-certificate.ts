/** Until when a certificate of ours is valid, as `ID-cert.pub` has it (OpenSSH's PROTOCOL.certkeys). Pure; verifies nothing. */

/** Fields of the certified key, by its type: they stand between the nonce and the serial. */
const keyFields: Readonly<Record<string, number>> = {
  'ssh-ed25519-cert-v01@openssh.com': 1,
  'ssh-rsa-cert-v01@openssh.com': 2,
  'ecdsa-sha2-nistp256-cert-v01@openssh.com': 2,
  'ecdsa-sha2-nistp384-cert-v01@openssh.com': 2,
  'ecdsa-sha2-nistp521-cert-v01@openssh.com': 2,
  'sk-ssh-ed25519-cert-v01@openssh.com': 2,
  'sk-ecdsa-sha2-nistp256-cert-v01@openssh.com': 3,
}

export interface CertificateFacts {
  /** Seconds since 1970 UTC. */
  readonly validBefore: number
  readonly principals: readonly string[]
}

/** Undefined where it is no certificate that we know. */
export function readCertificate(line: string): CertificateFacts | undefined {
  const [type = '', base64 = ''] = line.trim().split(/\s+/, 2)
  const fields = Object.hasOwn(keyFields, type) ? keyFields[type] : undefined
  if (fields === undefined) return undefined
  const blob = Buffer.from(base64, 'base64')
  let at = 0
  const text = (): Buffer => {
    const start = at + 4
    at = start + blob.readUInt32BE(at)
    if (at > blob.length) throw new RangeError('cut off')
    return blob.subarray(start, at)
  }
  try {
    if (text().toString() !== type) return undefined
    // The nonce, and the key.
    for (let skipped = 0; skipped <= fields; skipped++) text()
    // Serial, kind.
    at += 12
    text()
    const principals = stringsOf(text())
    at += 8
    return { principals, validBefore: Number(blob.readBigUInt64BE(at)) }
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

function stringsOf(list: Buffer): string[] {
  const texts: string[] = []
  for (let at = 0; at < list.length; ) {
    const end = at + 4 + list.readUInt32BE(at)
    texts.push(list.subarray(at + 4, end).toString())
    at = end
  }
  return texts
}
