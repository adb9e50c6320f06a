import { CodedError } from '@portcullis/kernel'

/**
 * Why a person was not signed in. The message is for the log: it names what was wrong and never holds a token, a code,
 * a secret or XML. What the person reads is `sentenceFor`, which tells an attacker nothing of which check it was.
 */
export type SignInErrorCode =
  /** A provider's configuration cannot be served safely. */
  | 'config'
  | 'unknown_provider'
  /** The provider does not answer, or not as the protocol says. */
  | 'provider_unavailable'
  /** The provider answered that it did not sign this person in. */
  | 'provider_refused'
  /** The cookie is missing, was not sealed here, or belongs to another provider. */
  | 'transaction_invalid'
  | 'transaction_expired'
  | 'transaction_used'
  /** `state` or RelayState, `iss`, or the callback's address is not what this browser began with. */
  | 'mismatch'
  /** The answer is no message of the protocol, or longer than allowed. */
  | 'malformed'
  | 'too_large'
  /** A document type, an entity, a comment, CDATA or a processing instruction. */
  | 'forbidden_xml'
  /** Not one Response with one Assertion in the places where they belong: what signature wrapping needs. */
  | 'structure'
  | 'unsigned'
  | 'algorithm'
  | 'bad_signature'
  | 'decryption'
  | 'wrong_issuer'
  | 'wrong_audience'
  | 'wrong_destination'
  | 'wrong_recipient'
  /** Answers another request than this browser's. */
  | 'wrong_request'
  /** Answers no request at all, and the provider may not begin by itself. */
  | 'unsolicited'
  | 'expired'
  | 'not_yet_valid'
  | 'replayed'
  /** The memory of what was used is full or away: nothing can be told from a replay. */
  | 'replay_memory'
  /** `auth_time`, `acr`: not signed in as recently or as strongly as configured. */
  | 'too_weak'
  | 'claim_missing'
  | 'claim_invalid'
  /** A required claim or attribute has another value than those allowed. */
  | 'not_allowed'

export class SignInError extends CodedError<SignInErrorCode> {}

const again = 'Go back and sign in again.'
const sentences: Partial<Record<SignInErrorCode, string>> = {
  unknown_provider: 'There is no such way to sign in here.',
  provider_unavailable: 'Your sign-in service cannot be reached just now. Try again in a minute.',
  provider_refused: `Your sign-in service did not sign you in. ${again}`,
  transaction_invalid: `This sign-in was not begun in this browser, or cookies are blocked. ${again}`,
  transaction_expired: `This sign-in took too long. ${again}`,
  transaction_used: `This sign-in was used already. ${again}`,
  unsolicited: 'Sign in from here, not from the page of your sign-in service.',
  expired: `The answer of your sign-in service came too late. ${again}`,
  too_weak: 'Your sign-in service has to check you again, or more strongly, before you may come in.',
  not_allowed: 'You are known to your sign-in service, but not allowed here.',
  replay_memory: 'Sign-in is not possible just now. Try again in a minute.',
  config: 'This way to sign in is not set up properly. Tell whoever runs Portcullis.',
}

/** One plain sentence for the person. For whatever is likely an attack, the same one. */
export function sentenceFor(code: SignInErrorCode): string {
  return sentences[code] ?? `The answer of your sign-in service could not be accepted. ${again}`
}
