/**
 * Proofs of possession that come with an HTTP request (DPoP, RFC 9449): that whoever sends it has the private key that a
 * token is bound to, or is to be bound to. It refuses a proof for another request, one that is older than a minute, and
 * one that was used before. Nonces are not asked for: a proof that was made ahead is good for that minute only.
 */
import { hash } from 'node:crypto'
import type { Clock } from '@portcullis/kernel'
import {
  calculateJwkThumbprint,
  type CryptoKey,
  EmbeddedJWK,
  errors,
  type FlattenedJWSInput,
  type JWTHeaderParameters,
  type JWTPayload,
  jwtVerify,
} from 'jose'
import { IdentityError } from './errors.ts'
import type { UsedOnce } from './people/used-once.ts'

/** The request that a proof must be for. */
export interface ProvenRequest {
  readonly method: string
  /** As it was sent; a query is not looked at (RFC 9449 section 4.3). */
  readonly path: string
  /** The token that comes with it; absent where one is asked for. */
  readonly token?: string
}

export interface ShownKey {
  /** RFC 7638, SHA-256, base64url. */
  readonly thumbprint: string
  /**
   * Uses the proof up. After all else was found right: what strangers make up is not remembered.
   * Rejects with IdentityError('dpop') where it was used before.
   */
  spend(): Promise<void>
}

export interface DpopVerifier {
  /** Of the DPoP header. Rejects with IdentityError('dpop'). */
  verify(proof: string, request: ProvenRequest): Promise<ShownKey>
}

export interface DpopOptions {
  /** The URL that clients reach the API under. */
  readonly baseUrl: string
  readonly used: UsedOnce
  readonly clock: Pick<Clock, 'nowUs'>
}

export const dpopAlgorithms = ['ES256', 'ES384', 'EdDSA', 'Ed25519', 'PS256', 'RS256']

const proofCharsMax = 8192
const jtiCharsMax = 256
const modulusCharsMax = 683
const exponentCharsMax = 6
const ageSecMax = 60
const leewaySec = 10

export function createDpopVerifier({ baseUrl, used, clock }: DpopOptions): DpopVerifier {
  const base = baseUrl.replace(/\/$/, '')
  return {
    async verify(proof, { method, path, token }) {
      const nowSec = clock.nowUs() / 1e6
      const { payload, thumbprint } = await signed(proof, nowSec)
      const { jti, iat, htm, htu, ath } = payload
      if (typeof jti !== 'string' || jti === '' || jti.length > jtiCharsMax)
        throw refusal(`must have a jti of at most ${jtiCharsMax} characters`)
      if (typeof iat !== 'number') throw refusal('has no iat')
      if (iat < nowSec - ageSecMax || iat > nowSec + leewaySec)
        throw refusal(`was made at ${iat}, not within the last ${ageSecMax} s: compare the clocks`)
      if (htm !== method) throw refusal(`is for another method than ${method} (htm)`)
      const url = addressOf(`${base}${path}`)
      if (url === undefined || addressOf(htu) !== url)
        throw refusal(`is for another address than ${url} (htu)`)
      if (token !== undefined && ath !== hash('sha256', token, 'base64url'))
        throw refusal('is for another token (ath)')
      return {
        thumbprint,
        async spend() {
          const isFirst = await used
            .claim(hash('sha256', `${thumbprint} ${jti}`), (iat + ageSecMax + leewaySec) * 1e6)
            .catch((cause: unknown) => {
              throw refusal('cannot be told from one that was used before', cause)
            })
          if (!isFirst) throw refusal('was used before (jti)')
        },
      }
    },
  }
}

async function signed(
  proof: string,
  nowSec: number,
): Promise<{ readonly payload: JWTPayload; readonly thumbprint: string }> {
  if (proof.length > proofCharsMax) throw refusal(`has more than ${proofCharsMax} characters`)
  try {
    const { payload, protectedHeader } = await jwtVerify(proof, broughtKey, {
      typ: 'dpop+jwt',
      algorithms: dpopAlgorithms,
      currentDate: new Date(nowSec * 1000),
      clockTolerance: leewaySec,
    })
    const { jwk } = protectedHeader
    if (!jwk) throw refusal('must bring its public key')
    return { payload, thumbprint: await calculateJwkThumbprint(jwk, 'sha256') }
  } catch (error) {
    if (error instanceof IdentityError) throw error
    const why = error instanceof errors.JOSEError ? error.message : 'its key cannot be used'
    throw refusal(`is not right: ${why}`, error)
  }
}

/** Anyone may send a proof: no key is tried whose signature takes long to look at, and none that is not public. */
function broughtKey(header: JWTHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey> {
  const { jwk } = header
  if (!jwk || 'd' in jwk) throw refusal('must bring its public key, and that alone')
  if ((jwk.n?.length ?? 0) > modulusCharsMax || (jwk.e?.length ?? 0) > exponentCharsMax)
    throw refusal('brings an RSA key of more than 4096 bits, or with an exponent of more than 32')
  return EmbeddedJWK(header, token)
}

/** Without query and fragment, normalised (RFC 3986 section 6.2.2, 6.2.3). */
function addressOf(htu: unknown): string | undefined {
  const url = typeof htu === 'string' ? URL.parse(htu) : null
  return url && !url.username && !url.password ? `${url.origin}${url.pathname}` : undefined
}

function refusal(why: string, cause?: unknown): IdentityError {
  return new IdentityError('dpop', `the DPoP proof ${why}`, { cause })
}
