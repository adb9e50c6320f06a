/**
 * Static API keys, for what has no issuer: `pck_<id>_<secret><checksum>`. The prefix is for scanners that look for
 * leaked secrets; the secret has 256 random bits, so a plain hash of it can be kept; the checksum tells a mistyped key
 * from a wrong one, and a scanner a key from what looks like one. Pure but for the random bytes it is handed.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import { BlockList, isIP } from 'node:net'
import { crc32 } from 'node:zlib'
import type { ApiKey } from '@portcullis/kernel'
import { IdentityError } from '../errors.ts'
import { canonicalAddress } from '../origin.ts'
import { apiKeyIssuer, type ScopedProof } from './proof.ts'
import { everything } from './scope.ts'

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
  readonly networks: BlockList | undefined
}

export function knownApiKey(key: ApiKey): KnownApiKey {
  return { key, hash: Buffer.from(key.hash, 'hex'), networks: networksOf(key.networks) }
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
  const { key } = found
  const proven = proofOf(key)
  const refuse = (code: 'disabled' | 'expired' | 'network', why: string) =>
    new IdentityError(code, `API key ${keyId} ${why}`, { proven })
  if (!key.enabled) throw refuse('disabled', 'is disabled')
  if (nowUs >= key.expiresAt) throw refuse('expired', 'is expired')
  if (found.networks && !isWithin(found.networks, address))
    throw refuse('network', `may not come from ${address ?? 'an unknown address'}`)
  return proven
}

function proofOf({ keyId, subject, groups, targets, expiresAt }: ApiKey): ScopedProof {
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
    scope: targets.length > 0 ? { targets } : everything,
  }
}

/** An address, or one with the bits that count, such as 10.0.0.0/8. */
export function isNetwork(text: string): boolean {
  const [network = '', bits, ...rest] = text.split('/')
  const bitsMax = isIP(network) === 4 ? 32 : 128
  if (isIP(network) === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= bitsMax)
}

/** What is no network lets nobody in: the log may hold what a newer version understands. */
function networksOf(networks: readonly string[]): BlockList | undefined {
  if (networks.length === 0) return undefined
  const listed = new BlockList()
  for (const text of networks.filter(isNetwork)) {
    const [network = '', bits] = text.split('/')
    const family = isIP(network) === 4 ? 'ipv4' : 'ipv6'
    if (bits === undefined) listed.addAddress(network, family)
    else listed.addSubnet(network, Number(bits), family)
  }
  return listed
}

function isWithin(networks: BlockList, address: string | undefined): boolean {
  if (address === undefined) return false
  const canonical = canonicalAddress(address)
  const family = isIP(canonical)
  return family !== 0 && networks.check(canonical, family === 4 ? 'ipv4' : 'ipv6')
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
