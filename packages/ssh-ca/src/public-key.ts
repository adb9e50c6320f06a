/**
 * A user's public key in OpenSSH's form, `TYPE BASE64 [COMMENT]` -> its parts, each checked: what is certified is copied
 * into the certificate byte for byte, so it must be exactly one key of a type we know. It refuses DSA, short RSA keys and
 * keys that are certificates already.
 */
import { hash } from 'node:crypto'
import { SshCaError } from './errors.ts'
import { readStrings } from './wire.ts'

export interface SshPublicKey {
  readonly type: string
  /** The whole key, type first. */
  readonly blob: Buffer
}

const rsaBitsMin = 2048
const rsaBitsMax = 16_384

/** By type: what must follow it. */
const checks: Readonly<Record<string, (parts: readonly Buffer[]) => boolean>> = {
  'ssh-ed25519': ([key, ...more]) => key?.length === 32 && more.length === 0,
  'ecdsa-sha2-nistp256': isPoint('nistp256', 65),
  'ecdsa-sha2-nistp384': isPoint('nistp384', 97),
  'ecdsa-sha2-nistp521': isPoint('nistp521', 133),
  'ssh-rsa': ([exponent, modulus, ...more]) =>
    exponent !== undefined && modulus !== undefined && more.length === 0 && isRsa(exponent, modulus),
  'sk-ssh-ed25519@openssh.com': ([key, application, ...more]) =>
    key?.length === 32 && application !== undefined && more.length === 0,
  'sk-ecdsa-sha2-nistp256@openssh.com': ([curve, point, application, ...more]) =>
    isPoint('nistp256', 65)([curve, point].filter((part) => part !== undefined)) &&
    application !== undefined &&
    more.length === 0,
}

/** @throws SshCaError('public_key') */
export function parsePublicKey(line: string): SshPublicKey {
  const [type = '', base64 = ''] = line.trim().split(/[ \t]+/, 2)
  const check = Object.hasOwn(checks, type) ? checks[type] : undefined
  if (!check)
    throw new SshCaError(
      'public_key',
      `keys of this type are not certified; ${Object.keys(checks).join(', ')} are`,
    )
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) throw new SshCaError('public_key', 'the key is not base64')
  const blob = Buffer.from(base64, 'base64')
  const [inside, ...parts] = readStrings(blob)
  if (inside?.toString('latin1') !== type || !check(parts))
    throw new SshCaError(
      'public_key',
      `this is not a whole ${type} key, or it is too weak (RSA needs ${rsaBitsMin} bits)`,
    )
  return { type, blob }
}

/** As `ssh-keygen -l` shows it. */
export function fingerprintOf({ blob }: SshPublicKey): string {
  return `SHA256:${hash('sha256', blob, 'base64').replace(/=+$/, '')}`
}

function isPoint(curve: string, bytes: number): (parts: readonly Buffer[]) => boolean {
  return ([name, point, ...more]) =>
    name?.toString('latin1') === curve && point?.length === bytes && point[0] === 4 && more.length === 0
}

function isRsa(exponent: Buffer, modulus: Buffer): boolean {
  const bits = bitsOf(modulus)
  return bits >= rsaBitsMin && bits <= rsaBitsMax && bitsOf(exponent) >= 2 && bitsOf(exponent) <= 64
}

/** Of a positive mpint; 0 for one that is negative or not minimal. */
function bitsOf(mpint: Buffer): number {
  const [first = 0, second = 0] = mpint
  if (mpint.length === 0 || first >= 0x80 || (first === 0 && second < 0x80)) return 0
  const digits = first === 0 ? mpint.subarray(1) : mpint
  return digits.length * 8 - Math.clz32(digits[0] ?? 0) + 24
}
