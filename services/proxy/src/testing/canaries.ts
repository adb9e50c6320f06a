/** Looks for pieces of canaries in whatever a client was sent: as they are, in hexadecimal or in base64. */

const pieceBytes = 8
/** More of them prove no more. */
const findsMax = 10

/** `skip`: characters at the beginning that all of them have. */
export function createCanaryWatch(canaries: readonly string[], skip: number): (bytes: Buffer) => string[] {
  const pieces = new Set<string>()
  // Which four characters a piece may begin with: most bytes are none of these.
  const begins = new Uint8Array(1 << 20)
  for (const canary of canaries)
    for (let at = skip; at + pieceBytes <= canary.length; at++) {
      const piece = canary.slice(at, at + pieceBytes)
      pieces.add(piece)
      begins[keyOf(Buffer.from(piece, 'latin1'), 0)] = 1
    }

  function found(bytes: Buffer): string[] {
    const seen: string[] = []
    for (let at = 0; at + pieceBytes <= bytes.length && seen.length < findsMax; at++) {
      if (begins[keyOf(bytes, at)] === 0) continue
      const piece = bytes.toString('latin1', at, at + pieceBytes).toLowerCase()
      if (pieces.has(piece)) seen.push(piece)
    }
    return seen
  }

  return (bytes) => {
    const plain = found(bytes)
    if (plain.length > 0) return plain
    const text = bytes.toString('latin1')
    const decoded = [
      ...Array.from(text.matchAll(/(?:[0-9a-f]{2}){8,}/gi), ([code]) => Buffer.from(code, 'hex')),
      // Base64 may begin at any place of what looks like it.
      ...Array.from(text.matchAll(/[a-z0-9+/]{12,}/gi), ([code]) => code).flatMap((code) =>
        [0, 1, 2, 3].map((from) => Buffer.from(code.slice(from), 'base64')),
      ),
    ]
    return decoded.flatMap(found)
  }
}

/** Of four bytes, the case of letters aside; others may have the same. */
function keyOf(bytes: Buffer, at: number): number {
  let key = 0
  for (let index = at; index < at + 4; index++) key = (key << 5) | ((bytes[index] as number) & 31)
  return key
}
