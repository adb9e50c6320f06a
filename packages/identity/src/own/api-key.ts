/**
 * Static API keys, for what has no issuer: `pck_<id>_<secret><checksum>`. The prefix is for scanners that look for
 * leaked secrets; the secret has 256 random bits, so a plain hash of it can be kept; the checksum tells a mistyped key
 * from a wrong one, and a scanner a key from what looks like one. Pure but for the random bytes it is handed.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { ApiKey } from '@portcullis/kernel'
import { IdentityError } from '../errors.ts'
import { apiKeyIssuer, type ScopedProof } from './proof.ts'
import { outsideNetworks } from './scope.ts'

export const apiKeyPrefix = 'pck_'
export const apiKeyRandomBytes = 40

export interface NewApiKey {
  /** `pck_` and 16 hex digits: what the key begins with, so that one that is found somewhere can be named. */
  readonly keyId: string
  /** To be shown once. */
  readonly key: string
  /** To be kept: SHA-256 of the whole key, 64 hex digits. */
  readonly hash: string
}

/** `random`: 40 bytes, 8 for the id and 32 for the secret. */
export function makeApiKey(random: Uint8Array): NewApiKey {
  const bytes = Buffer.from(random)
  if (bytes.length !== apiKeyRandomBytes)
    throw new Error(`an API key is made of ${apiKeyRandomBytes} random bytes`)
  const keyId = `${apiKeyPrefix}${bytes.toString('hex', 0, 8)}`
  const secret = base62(BigInt(`0x${bytes.toString('hex', 8)}`), 43)
  const body = `${keyId}_${secret}`
  const key = `${body}${checksum(body)}`
  return { keyId, key, hash: hash('sha256', key) }
}

/** One key as it was given out, with what it takes to judge a use of it. */
export interface KnownApiKey {
  readonly key: ApiKey
  readonly hash: Buffer
  /** Whom it proves, as long as it does. */
  readonly proof: ScopedProof
}

export function knownApiKey(key: ApiKey): KnownApiKey {
  return { key, hash: Buffer.from(key.hash, 'hex'), proof: proofOf(key) }
}

const form = /^((pck_[0-9a-f]{16})_[0-9A-Za-z]{43})([0-9A-Za-z]{6})$/

/** Throws IdentityError malformed, unknown_key, disabled, expired or network; the last three with whom the key proved. */
export function proveApiKey(
  presented: string,
  known: ReadonlyMap<string, KnownApiKey>,
  address: string | undefined,
  nowUs: number,
): ScopedProof {
  const [, body = '', keyId = '', sum = ''] = form.exec(presented) ?? []
  if (body === '' || checksum(body) !== sum)
    throw new IdentityError('malformed', 'the API key is mistyped or cut short')
  const found = known.get(keyId)
  // Compared in either case, so that the time does not tell which ids there are.
  const isRight = timingSafeEqual(Buffer.from(hash('sha256', presented), 'hex'), found?.hash ?? noHash)
  if (!found || !isRight)
    throw new IdentityError('unknown_key', `there is no such API key (${keyId}…), or it was deleted`)
  const { key, proof: proven } = found
  const refuse = (code: 'disabled' | 'expired' | 'network', why: string) =>
    new IdentityError(code, `API key ${keyId} ${why}`, { proven })
  if (!key.enabled) throw refuse('disabled', 'is disabled')
  if (nowUs >= key.expiresAt) throw refuse('expired', 'is expired')
  const outside = outsideNetworks(proven.scope, address)
  if (outside !== undefined) throw refuse('network', outside)
  return proven
}

function proofOf({ keyId, subject, groups, targets, networks, expiresAt }: ApiKey): ScopedProof {
  return {
    identity: {
      issuer: apiKeyIssuer,
      subject,
      groups,
      delegation: [],
      instance: keyId,
      task: '',
      ancestors: [],
    },
    expiresAtUs: expiresAt,
    tokenId: keyId,
    scope: { ...(targets.length > 0 && { targets }), ...(networks.length > 0 && { networks: [networks] }) },
  }
}

const noHash = Buffer.alloc(32)
const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

function base62(value: bigint, length: number): string {
  let digits = ''
  for (let rest = value; digits.length < length; rest /= 62n) digits = alphabet[Number(rest % 62n)] + digits
  return digits
}

function checksum(body: string): string {
  return base62(BigInt(crc32(body)), 6)
}
