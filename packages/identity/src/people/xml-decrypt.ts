/**
 * An encrypted assertion -> its text. By node:crypto, since the library at hand takes RSA 1.5 and triple DES and cannot
 * read the digest of RSA-OAEP as XML Encryption 1.1 writes it.
 *
 * Refuses RSA 1.5 (Bleichenbacher's oracle) and triple DES. AES-CBC is malleable (Jager and Somorovsky, 2011) but is what
 * many providers send: every failure past the choice of algorithms is therefore one code with one text, and what comes
 * out must be signed like any other assertion.
 */
import { constants, createDecipheriv, type KeyObject, privateDecrypt } from 'node:crypto'
import { SignInError } from './errors.ts'
import { childOf, childrenOf, ds, textOf, theChildOf, xenc } from './saml-names.ts'
import type { XmlElement } from './xml.ts'

const xenc11 = 'http://www.w3.org/2009/xmlenc11#'
const ciphers: Readonly<
  Record<string, { name: 'aes-128-cbc' | 'aes-256-cbc' | 'aes-128-gcm' | 'aes-256-gcm'; keyBytes: number }>
> = {
  [`${xenc}aes128-cbc`]: { name: 'aes-128-cbc', keyBytes: 16 },
  [`${xenc}aes256-cbc`]: { name: 'aes-256-cbc', keyBytes: 32 },
  [`${xenc11}aes128-gcm`]: { name: 'aes-128-gcm', keyBytes: 16 },
  [`${xenc11}aes256-gcm`]: { name: 'aes-256-gcm', keyBytes: 32 },
}
/** As a mask's hash, not a signature's: SHA-1 is no weakness here, and what most providers use. */
const oaepDigests: Readonly<Record<string, string>> = {
  [`${ds}sha1`]: 'sha1',
  [`${xenc}sha256`]: 'sha256',
  [`${xenc}sha512`]: 'sha512',
}

/** `keys` are tried in turn, for rotation. @throws SignInError structure, algorithm, decryption */
export function decryptAssertion(encrypted: XmlElement, keys: readonly KeyObject[]): string {
  const data = theChildOf(encrypted, xenc, 'EncryptedData')
  const cipher = ciphers[algorithmOf(data)]
  if (!cipher)
    throw new SignInError(
      'algorithm',
      'the assertion is encrypted otherwise than with AES of 128 or 256 bits',
    )
  const wrapped = encryptedKeysOf(encrypted, data)
  const unwrap = wrapped.map((element) => ({ ...oaepOf(element), bytes: cipherBytes(element) }))
  const body = cipherBytes(data)
  for (const { oaepHash, bytes } of unwrap) {
    for (const key of keys) {
      try {
        const padding = constants.RSA_PKCS1_OAEP_PADDING
        const secret = privateDecrypt({ key, padding, oaepHash }, bytes)
        if (secret.length === cipher.keyBytes) return decrypted(cipher.name, secret, body)
      } catch {
        // Which step failed must not show.
      }
    }
  }
  throw new SignInError('decryption', 'the assertion cannot be decrypted with the keys of this configuration')
}

/** Beside the data or inside its KeyInfo; both are in use. */
function encryptedKeysOf(encrypted: XmlElement, data: XmlElement): readonly XmlElement[] {
  const info = childOf(data, ds, 'KeyInfo')
  const found = [
    ...(info ? childrenOf(info, xenc, 'EncryptedKey') : []),
    ...childrenOf(encrypted, xenc, 'EncryptedKey'),
  ]
  if (found.length === 0 || found.length > 8)
    throw new SignInError('structure', 'the encrypted assertion has no EncryptedKey, or too many')
  return found
}

function oaepOf(element: XmlElement): { oaepHash: string } {
  const method = theChildOf(element, xenc, 'EncryptionMethod')
  const algorithm = algorithmOf(element)
  const digest = childOf(method, ds, 'DigestMethod')?.attributes.get('Algorithm') ?? `${ds}sha1`
  const oaepHash = oaepDigests[digest]
  const mask = childOf(method, xenc11, 'MGF')?.attributes.get('Algorithm') ?? `${xenc11}mgf1sha1`
  // node:crypto has one hash for both, as RFC 8017 advises.
  const sameMask = mask === `${xenc11}mgf1${oaepHash}`
  if (algorithm === `${xenc}rsa-oaep-mgf1p` && oaepHash === 'sha1') return { oaepHash }
  if (algorithm === `${xenc11}rsa-oaep` && oaepHash !== undefined && sameMask) return { oaepHash }
  throw new SignInError(
    'algorithm',
    'the key of the assertion is encrypted otherwise than with RSA-OAEP with one hash for both',
  )
}

function algorithmOf(element: XmlElement): string {
  return theChildOf(element, xenc, 'EncryptionMethod').attributes.get('Algorithm') ?? ''
}

function cipherBytes(element: XmlElement): Buffer {
  const value = theChildOf(theChildOf(element, xenc, 'CipherData'), xenc, 'CipherValue')
  return Buffer.from(textOf(value), 'base64')
}

function decrypted(name: string, key: Buffer, body: Buffer): string {
  const utf8 = new TextDecoder('utf-8', { fatal: true })
  if (name === 'aes-128-gcm' || name === 'aes-256-gcm') {
    const decipher = createDecipheriv(name, key, body.subarray(0, 12), { authTagLength: 16 })
    decipher.setAuthTag(body.subarray(-16))
    return utf8.decode(Buffer.concat([decipher.update(body.subarray(12, -16)), decipher.final()]))
  }
  const decipher = createDecipheriv(name, key, body.subarray(0, 16)).setAutoPadding(false)
  const padded = Buffer.concat([decipher.update(body.subarray(16)), decipher.final()])
  // XML Encryption 5.2.2: only the last byte says how much is padding.
  const padding = padded.at(-1) ?? 0
  if (padding < 1 || padding > 16) throw new Error('padding')
  return utf8.decode(padded.subarray(0, -padding))
}
