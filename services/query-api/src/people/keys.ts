/**
 * One secret, `identity.own.key`, for each purpose turned into a key that is good for nothing else: so sessions and codes
 * are shared by all replicas with nothing more to configure. What browsers keep must be short, so it is sealed plainly
 * (AES-256-GCM) and not in an envelope as what the control log keeps for ever is.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto'

export interface Box {
  seal(plain: Uint8Array, context: string): string
  /** Undefined where it was sealed with another key or for another context, or was changed. */
  open(sealed: string, context: string): Buffer | undefined
}

export interface PeopleKeys {
  /** Of console sessions. */
  readonly sessions: Box
  /** Of who approved a device. */
  readonly approvals: Box
  /** Of a sign-in that is under way, where `people.key` is not set. */
  readonly transactions: Buffer
  /** A user code is short: without the key its hash must not tell it. */
  hashUserCode(code: string): string
  /** What a page's forms must bring along: good for one session. */
  csrfOf(instance: string): string
}

/** `secret`: `identity.own.key`, which whoever resolves it has checked. */
export function createPeopleKeys(secret: string): PeopleKeys {
  const keyFor = (purpose: string) =>
    Buffer.from(hkdfSync('sha256', secret.trim(), '', `portcullis ${purpose} v1`, 32))
  const [codes, csrf] = [keyFor('user code'), keyFor('csrf')]
  return {
    sessions: createBox(keyFor('console session')),
    approvals: createBox(keyFor('device approval')),
    transactions: keyFor('sign-in under way'),
    hashUserCode: (code) => createHmac('sha256', codes).update(code).digest('hex'),
    csrfOf: (instance) => createHmac('sha256', csrf).update(instance).digest('base64url'),
  }
}

const version = 'a1.'
const ivBytes = 12
const tagBytes = 16

function createBox(key: Buffer): Box {
  return {
    seal(plain, context) {
      const iv = randomBytes(ivBytes)
      const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(context))
      const sealed = Buffer.concat([iv, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
      return version + sealed.toString('base64url')
    },
    open(sealed, context) {
      const bytes = Buffer.from(sealed.slice(version.length), 'base64url')
      if (!sealed.startsWith(version) || bytes.length < ivBytes + tagBytes) return undefined
      const iv = bytes.subarray(0, ivBytes)
      const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: tagBytes })
      decipher.setAAD(Buffer.from(context)).setAuthTag(bytes.subarray(-tagBytes))
      try {
        return Buffer.concat([decipher.update(bytes.subarray(ivBytes, -tagBytes)), decipher.final()])
      } catch {
        // It was not sealed here.
        return undefined
      }
    },
  }
}
