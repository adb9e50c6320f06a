/**
 * What holds master keys: this process (keys from a file or the environment), Vault's transit engine, AWS KMS. With the
 * last two no process of the gate ever sees a master key, and whoever has the sealed text alone has nothing.
 */
import { randomBytes } from 'node:crypto'
import { VaultError } from './errors.ts'
import { isObject, jsonObject } from './http.ts'
import { decrypt, encrypt, type KeyWrapper, unsealable } from './sealer.ts'
import { refusedAs } from './source.ts'
import { awsRefusal, type CallAws } from './sources/aws.ts'
import type { CallVault } from './sources/hashicorp.ts'
import type { ReadLocal } from './sources/local.ts'

export interface MasterKey {
  /** Any name; stands in what it sealed. */
  readonly id: string
  /** `env:` or `file:` of 32 bytes, as 64 hexadecimal digits or as base64. */
  readonly key: string
}

const nonceBytes = 12

/**
 * Keys that this process reads. The first seals, all open: rotate by putting a new one first, rewrap, drop the old. Read
 * at each use. What it wraps is a nonce of 12 bytes, then AES-256-GCM. @throws VaultError('reference') where two have one id.
 */
export function createLocalKeys(
  keys: readonly [MasterKey, ...MasterKey[]],
  readLocal: ReadLocal,
  random: (bytes: number) => Buffer = randomBytes,
): KeyWrapper {
  const [current] = keys
  if (new Set(keys.map(({ id }) => id)).size < keys.length)
    throw new VaultError('reference', 'two master keys have the same id')
  return {
    async wrap(dataKey, associated) {
      const nonce = random(nonceBytes)
      const wrapped = encrypt(bytesOf(current, readLocal), nonce, dataKey, associated)
      return { keyId: current.id, wrapped: Buffer.concat([nonce, wrapped]) }
    },
    async unwrap(keyId, wrapped, associated) {
      const key = keys.find(({ id }) => id === keyId)
      if (!key) throw unsealable()
      const nonce = wrapped.subarray(0, nonceBytes)
      return decrypt(bytesOf(key, readLocal), nonce, wrapped.subarray(nonceBytes), associated)
    },
    isOld: (keyId) => keyId !== current.id,
  }
}

function bytesOf({ id, key }: MasterKey, readLocal: ReadLocal): Buffer {
  const text = readLocal(key).trim()
  const bytes = Buffer.from(text, /^[0-9a-fA-F]{64}$/.test(text) ? 'hex' : 'base64')
  if (bytes.length !== 32)
    throw new VaultError(
      'malformed',
      `master key "${id}" (${key}) must be 32 bytes: 64 hexadecimal digits, or base64`,
    )
  return bytes
}

export interface TransitKey {
  /** Path that the engine is enabled at. */
  readonly mount: string
  readonly key: string
}

/** Vault's transit engine (API documentation, "Transit": encrypt, decrypt), a key of type aes256-gcm96, which takes associated data. */
export function createTransit({ mount, key }: TransitKey, call: CallVault): KeyWrapper {
  const keyId = `vault:${mount}/${key}`
  /** The newest version that Vault has used here. */
  let newest = 0
  async function ask(verb: 'encrypt' | 'decrypt', body: object): Promise<Readonly<Record<string, unknown>>> {
    const answer = await call('POST', `${mount}/${verb}/${key}`, body)
    if (answer.status === 400 && verb === 'decrypt') throw unsealable()
    if (answer.status !== 200) throw refusedAs(answer.status, 'Vault', keyId)
    const { data } = jsonObject(answer.text, 'Vault')
    if (!isObject(data)) throw new VaultError('malformed', `${keyId}: Vault answered without data`)
    return data
  }
  return {
    async wrap(dataKey, associated) {
      const { ciphertext } = await ask('encrypt', {
        plaintext: dataKey.toString('base64'),
        associated_data: associated.toString('base64'),
      })
      if (typeof ciphertext !== 'string')
        throw new VaultError('malformed', `${keyId}: Vault answered without a ciphertext`)
      newest = Math.max(newest, versionOf(ciphertext))
      return { keyId, wrapped: Buffer.from(ciphertext) }
    },
    async unwrap(wrappedBy, wrapped, associated) {
      if (wrappedBy !== keyId) throw unsealable()
      const { plaintext } = await ask('decrypt', {
        ciphertext: wrapped.toString('utf8'),
        associated_data: associated.toString('base64'),
      })
      if (typeof plaintext !== 'string')
        throw new VaultError('malformed', `${keyId}: Vault answered without a plaintext`)
      return Buffer.from(plaintext, 'base64')
    },
    isOld: (wrappedBy, wrapped) => wrappedBy !== keyId || versionOf(wrapped.toString('utf8')) < newest,
  }
}

/** Of `vault:v3:…`. */
function versionOf(ciphertext: string): number {
  return Number(/^vault:v(\d+):/.exec(ciphertext)?.[1] ?? 0)
}

/** AWS KMS (API reference, Encrypt and Decrypt); `key` is the ARN or alias of a symmetric key. */
export function createKms(key: string, call: CallAws): KeyWrapper {
  const keyId = `aws-kms:${key}`
  async function ask(action: 'Encrypt' | 'Decrypt', body: object, part: string): Promise<Buffer> {
    const answer = await call('kms', `TrentService.${action}`, body)
    if (/"__type"\s*:\s*"[^"]*InvalidCiphertextException"/.test(answer.text)) throw unsealable()
    if (answer.status !== 200) throw awsRefusal(answer, keyId)
    const value = jsonObject(answer.text, 'AWS KMS')[part]
    if (typeof value !== 'string')
      throw new VaultError('malformed', `${keyId}: AWS KMS answered without ${part}`)
    return Buffer.from(value, 'base64')
  }
  const context = (associated: Buffer) => ({ portcullis: associated.toString('base64') })
  return {
    async wrap(dataKey, associated) {
      const body = {
        KeyId: key,
        Plaintext: dataKey.toString('base64'),
        EncryptionContext: context(associated),
      }
      return { keyId, wrapped: await ask('Encrypt', body, 'CiphertextBlob') }
    },
    async unwrap(wrappedBy, wrapped, associated) {
      if (wrappedBy !== keyId) throw unsealable()
      const body = {
        KeyId: key,
        CiphertextBlob: wrapped.toString('base64'),
        EncryptionContext: context(associated),
      }
      return ask('Decrypt', body, 'Plaintext')
    },
    // KMS rotates inside of the key.
    isOld: (wrappedBy) => wrappedBy !== keyId,
  }
}
