/**
 * Envelope encryption: a secret under a data key of its own, the data key under a master key that this process may only
 * be allowed to use, not to see. What is sealed may stand anywhere, the control log among others.
 *
 * A sealed secret is one line of text, five parts joined by dots, base64url without padding (RFC 4648) where bytes:
 *
 *   pcs1 . KEY_ID . WRAPPED_KEY . NONCE . CIPHERTEXT_AND_TAG
 *
 *   pcs1                 the form; another form has another word here
 *   KEY_ID               base64url of the master key's id, in UTF-8
 *   WRAPPED_KEY          what the master key made of the 32 bytes of the data key; its form is the wrapper's
 *   NONCE                12 random bytes
 *   CIPHERTEXT_AND_TAG   AES-256-GCM (NIST SP 800-38D) of the secret in UTF-8, tag of 16 bytes last
 *
 * Associated data, of the secret and of its data key alike: the words "portcullis sealed secret 1", the id of the
 * aggregate, the name and the version in decimal, each as 4 bytes of length, big-endian, and its UTF-8. So a text that is
 * moved to another aggregate, name or version does not open. sealer.test.ts has texts that must open for ever.
 *
 * Refuses to say why a text does not open: whoever alters bytes learns nothing.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { VaultError } from './errors.ts'
import { Secret } from './secret.ts'

/** Where a sealed secret belongs. */
export interface SealContext {
  readonly aggregateId: string
  readonly name: string
  readonly version: number
}

/** A master key, or several of which one is current. */
export interface KeyWrapper {
  /** Under the current key. Rejects with VaultError. */
  wrap(dataKey: Buffer, associated: Buffer): Promise<{ readonly keyId: string; readonly wrapped: Buffer }>
  /** Rejects with VaultError('unsealable') where it does not open. */
  unwrap(keyId: string, wrapped: Buffer, associated: Buffer): Promise<Buffer>
  /** Whether what was wrapped so would be wrapped otherwise now. */
  isOld(keyId: string, wrapped: Buffer): boolean
}

export interface Sealer {
  seal(secret: Secret, context: SealContext): Promise<string>
  /** Rejects with VaultError. */
  open(sealed: string, context: SealContext): Promise<Secret>
  /** Whether a master key that is not the current one holds it. @throws VaultError('unsealable') */
  isOld(sealed: string): boolean
  /** The same secret under the current master key; with `anew`, under another data key and nonce too. */
  rewrap(sealed: string, context: SealContext, anew?: 'anew'): Promise<string>
}

const form = 'pcs1'
const keyBytes = 32
const nonceBytes = 12
const tagBytes = 16
const cipher = 'aes-256-gcm'

/** `random` is for the test of the form. */
export function createSealer(wrapper: KeyWrapper, random: (bytes: number) => Buffer = randomBytes): Sealer {
  async function seal(secret: Secret, context: SealContext): Promise<string> {
    const associated = associatedOf(context)
    const dataKey = random(keyBytes)
    const nonce = random(nonceBytes)
    const body = encrypt(dataKey, nonce, Buffer.from(secret.reveal()), associated)
    const { keyId, wrapped } = await wrapper.wrap(dataKey, associated)
    dataKey.fill(0)
    return joined({ keyId, wrapped, nonce, body })
  }

  async function open(sealed: string, context: SealContext): Promise<Secret> {
    const { keyId, wrapped, nonce, body } = split(sealed)
    const associated = associatedOf(context)
    const dataKey = await wrapper.unwrap(keyId, wrapped, associated)
    const plain = decrypt(dataKey, nonce, body, associated)
    dataKey.fill(0)
    const secret = new Secret(plain.toString('utf8'))
    plain.fill(0)
    return secret
  }

  return {
    seal,
    open,
    isOld(sealed) {
      const { keyId, wrapped } = split(sealed)
      return wrapper.isOld(keyId, wrapped)
    },
    async rewrap(sealed, context, anew) {
      // Whoever asks for a rewrap of what does not open must hear so now.
      const secret = await open(sealed, context)
      if (anew) return seal(secret, context)
      const parts = split(sealed)
      const associated = associatedOf(context)
      const dataKey = await wrapper.unwrap(parts.keyId, parts.wrapped, associated)
      const { keyId, wrapped } = await wrapper.wrap(dataKey, associated)
      dataKey.fill(0)
      return joined({ ...parts, keyId, wrapped })
    },
  }
}

/** Id of the master key that a text was sealed under, as it says. @throws VaultError('unsealable') */
export function masterKeyOf(sealed: string): string {
  return split(sealed).keyId
}

/** AES-256-GCM, tag last. */
export function encrypt(key: Buffer, nonce: Buffer, plain: Buffer, associated: Buffer): Buffer {
  const sealing = createCipheriv(cipher, key, nonce, { authTagLength: tagBytes }).setAAD(associated)
  return Buffer.concat([sealing.update(plain), sealing.final(), sealing.getAuthTag()])
}

/** @throws VaultError('unsealable') */
export function decrypt(key: Buffer, nonce: Buffer, body: Buffer, associated: Buffer): Buffer {
  try {
    const opening = createDecipheriv(cipher, key, nonce, { authTagLength: tagBytes })
    opening.setAAD(associated).setAuthTag(body.subarray(-tagBytes))
    return Buffer.concat([opening.update(body.subarray(0, -tagBytes)), opening.final()])
  } catch {
    throw unsealable()
  }
}

export function unsealable(): VaultError {
  return new VaultError(
    'unsealable',
    'a sealed secret does not open: it is altered, belongs elsewhere, or its master key is not among those configured',
  )
}

type Parts = {
  readonly keyId: string
  readonly wrapped: Buffer
  readonly nonce: Buffer
  readonly body: Buffer
}

function joined({ keyId, wrapped, nonce, body }: Parts): string {
  return [form, ...[Buffer.from(keyId), wrapped, nonce, body].map((part) => part.toString('base64url'))].join(
    '.',
  )
}

function split(sealed: string): Parts {
  const match = /^pcs1\.([\w-]{1,400})\.([\w-]{1,4096})\.([\w-]{16})\.([\w-]{22,})$/.exec(sealed)
  if (!match) throw unsealable()
  const [keyId, wrapped, nonce, body] = match.slice(1).map((part) => Buffer.from(part, 'base64url'))
  if (!keyId || !wrapped || nonce?.length !== nonceBytes || !body || body.length < tagBytes)
    throw unsealable()
  return { keyId: keyId.toString('utf8'), wrapped, nonce, body }
}

function associatedOf({ aggregateId, name, version }: SealContext): Buffer {
  const parts = ['portcullis sealed secret 1', aggregateId, name, String(version)].map((part) =>
    Buffer.from(part),
  )
  return Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(part.length)
      return [length, part]
    }),
  )
}
