/**
 * Seals what only a holder of the master key may read, for the control log. Until the vault's sealer takes its place this
 * is AES-256-GCM under one key by reference. It binds what is sealed to its place (`context`), so that one sealed text
 * cannot be put where another stood.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

export interface Sealer {
  seal(plaintext: Uint8Array, context: string): Promise<string>
  /** Rejects where it was sealed with another key or for another context, or was changed. */
  open(sealed: string, context: string): Promise<Buffer>
}

/** `secret`: 32 bytes in base64, base64url or hex. Throws where it is not. */
export function createKeySealer(secret: string): Sealer {
  const key = keyOf(secret)
  return {
    async seal(plaintext, context) {
      const iv = randomBytes(ivBytes)
      const cipher = createCipheriv(algorithm, key, iv).setAAD(Buffer.from(context))
      const sealed = Buffer.concat([iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
      return `${version}${sealed.toString('base64url')}`
    },
    async open(sealed, context) {
      const bytes = Buffer.from(sealed.slice(version.length), 'base64url')
      if (!sealed.startsWith(version) || bytes.length < ivBytes + tagBytes)
        throw new Error('what is sealed is of a form that this version does not know')
      const decipher = createDecipheriv(algorithm, key, bytes.subarray(0, ivBytes), {
        authTagLength: tagBytes,
      })
      decipher.setAAD(Buffer.from(context)).setAuthTag(bytes.subarray(-tagBytes))
      return Buffer.concat([decipher.update(bytes.subarray(ivBytes, -tagBytes)), decipher.final()])
    },
  }
}

const algorithm = 'aes-256-gcm'
const version = 'a1.'
const ivBytes = 12
const tagBytes = 16

function keyOf(secret: string): Buffer {
  const text = secret.trim()
  const key = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, 'hex') : Buffer.from(text, 'base64')
  if (key.length !== 32)
    throw new Error('identity.own.key must be 32 bytes in base64 or hex, as `openssl rand -base64 32` prints')
  return key
}
