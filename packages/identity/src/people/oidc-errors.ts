/**
 * The library's errors in our codes and words. Refuses to pass on its texts and causes as they are: those hold the
 * provider's answer, and with it tokens.
 */
import * as client from 'openid-client'
import { SignInError, type SignInErrorCode } from './errors.ts'

type Words = readonly [SignInErrorCode, string]

const byCode: Readonly<Record<string, Words>> = {
  OAUTH_JWT_TIMESTAMP_CHECK_FAILED: [
    'expired',
    'the ID token is expired, not yet valid, or auth_time is too long ago',
  ],
  OAUTH_JWT_CLAIM_COMPARISON_FAILED: [
    'mismatch',
    'a claim of the ID token (iss, aud, azp or nonce) is not as expected',
  ],
  OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED: ['config', 'discovery names another issuer than configured'],
  OAUTH_KEY_SELECTION_FAILED: ['bad_signature', 'no key of the provider fits the ID token'],
  OAUTH_INVALID_RESPONSE: ['malformed', 'the answer, the ID token or its signature is not valid'],
  OAUTH_UNSUPPORTED_OPERATION: [
    'algorithm',
    'the ID token is signed or encrypted in a way that is not supported',
  ],
  OAUTH_PARSE_ERROR: ['provider_unavailable', 'the provider sent what cannot be read'],
  OAUTH_RESPONSE_IS_NOT_JSON: ['provider_unavailable', 'the provider answered with what is not JSON'],
  OAUTH_RESPONSE_IS_NOT_CONFORM: ['provider_unavailable', 'the provider answered with an unexpected status'],
  OAUTH_TIMEOUT: ['provider_unavailable', 'the provider did not answer in time'],
  OAUTH_MISSING_SERVER_METADATA: ['config', 'the provider lacks an endpoint that sign-in needs'],
  OAUTH_INVALID_SERVER_METADATA: ['config', 'an endpoint of the provider is no valid address'],
  OAUTH_HTTP_REQUEST_FORBIDDEN: ['config', 'an endpoint of the provider is plain HTTP'],
}

/** Always a SignInError, without the original as its cause. */
export function explain(error: unknown): SignInError {
  if (error instanceof SignInError) return error
  if (error instanceof client.AuthorizationResponseError)
    return new SignInError('provider_refused', `the provider answered ${named(error.error)}`)
  if (
    error instanceof client.WWWAuthenticateChallengeError ||
    (error instanceof client.ResponseBodyError && error.error === 'invalid_client')
  )
    return new SignInError(
      'config',
      'the provider does not know our client id with this secret (invalid_client)',
    )
  if (error instanceof client.ResponseBodyError)
    return new SignInError(
      error.status >= 500 ? 'provider_unavailable' : 'provider_refused',
      `the provider answered status ${error.status}, ${named(error.error)}`,
    )
  const chain = causesOf(error)
  const alreadyOurs = chain.find((one) => one instanceof SignInError)
  if (alreadyOurs) return alreadyOurs
  if (chain.some((one) => /"alg" header/.test(one.message)))
    return new SignInError('algorithm', 'the ID token has another algorithm than configured')
  if (chain.some((one) => /signature verification failed/.test(one.message)))
    return new SignInError('bad_signature', "the ID token's signature is not the provider's")
  const code = chain
    .map((one) => ('code' in one ? String(one.code) : ''))
    .find((one) => Object.hasOwn(byCode, one))
  const words = code === undefined ? undefined : byCode[code]
  return words
    ? new SignInError(...words)
    : new SignInError('provider_unavailable', `no answer from the provider: ${networkWords(chain)}`)
}

function causesOf(error: unknown): Error[] {
  const chain: Error[] = []
  for (let one = error; one instanceof Error && chain.length < 8; one = one.cause) chain.push(one)
  return chain
}

/** The texts of our own `fetch` hold an address and no more. */
function networkWords(chain: readonly Error[]): string {
  const ours = chain.find((one) =>
    /^https?:\/\/\S+ (did not answer|could not|answered|broke off|is neither)/.test(one.message),
  )
  return ours?.message ?? chain.at(-1)?.name ?? 'unknown'
}

/** An error code is the provider's word: printed only where it has the form of one. */
function named(code: string): string {
  return /^[a-z_]{1,64}$/.test(code) ? code : 'an error'
}
