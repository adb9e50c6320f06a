/**
 * A person proves who they are to a SAML 2.0 identity provider, by the web browser profile:
 *
 *   browser               Portcullis                          provider
 *      | -- begin ----------->|                                   |
 *      |<- 302 or a form, cookie --|  AuthnRequest (ID, ACS)      |
 *      | -- the person signs in --------------------------------->|
 *      |<- a form that posts SAMLResponse, RelayState ------------|
 *      | -- POST to the ACS, cookie ->|  signed (encrypted) assertion
 *
 * Refuses: an answer without this browser's request (unless the provider may begin), a second use of an assertion, and all
 * that saml-response.ts and saml-person.ts refuse. No XML is in any message.
 */
import { randomBytes, timingSafeEqual, X509Certificate } from 'node:crypto'
import { SignInError } from './errors.ts'
import { createProviderFetch, isSafeProviderUrl } from './fetch.ts'
import type { ProviderDeps } from './oidc.ts'
import type { BeginOptions, Begun, SignedIn } from './person.ts'
import { safeReturnTo } from './return-to.ts'
import { createIdp, type IdpDescription, type IdpSource } from './saml-idp.ts'
import { personOfAssertion, type SamlAttributeRules } from './saml-person.ts'
import {
  makeAuthnRequest,
  postFields,
  redirectUrl,
  rsaPrivateKey,
  signingPair,
  spMetadata,
} from './saml-request.ts'
import { readResponse, type ResponseKeys } from './saml-response.ts'
import type { OpenTransaction } from './transaction.ts'
import type { UsedOnce } from './used-once.ts'

export interface SamlProviderConfig extends SamlAttributeRules {
  readonly name: string
  readonly idp: IdpSource
  /** Ours, and the audience of assertions. */
  readonly entityId: string
  readonly acsUrl: string
  /** Default redirect. */
  readonly requestBinding?: 'redirect' | 'post'
  /** What must be signed; default assertion. */
  readonly signed?: ResponseKeys['signed']
  /** PEM pairs, the newest first: with one, requests are signed. */
  readonly signing?: { readonly key: string; readonly certificate: string } | undefined
  readonly decryption?: readonly { readonly key: string; readonly certificate: string }[]
  /** Whether plain assertions are refused; needs `decryption`. */
  readonly mustEncrypt?: boolean
  /** Whether the provider may begin a sign-in. Default false: anyone could sign a person in as someone else. */
  readonly idpInitiated?: boolean
  readonly nameIdFormat?: string | undefined
  readonly forceAuthn?: boolean | undefined
  readonly authnContexts?: readonly string[] | undefined
  readonly maxAgeSec?: number | undefined
  /** Default 60. */
  readonly leewaySec?: number
  /** PEM for the TLS of the metadata's address. */
  readonly ca?: string | undefined
}

export interface SamlAnswer {
  /** The form's fields, as they came. */
  readonly samlResponse: string
  readonly relayState: string | undefined
}

export interface SamlProvider {
  /** @throws SignInError provider_unavailable, config */
  begin(options: Pick<BeginOptions, 'returnTo'>): Promise<Begun>
  /** `transaction` is undefined where the browser has no cookie. @throws SignInError */
  finish(answer: SamlAnswer, transaction: string | undefined): Promise<SignedIn>
  /** Our metadata, as application/samlmetadata+xml. */
  metadata(): string
}

/** @throws SignInError config */
export function createSamlProvider(
  config: SamlProviderConfig,
  deps: ProviderDeps & { readonly used: UsedOnce },
): SamlProvider {
  const { clock, transactions, used } = deps
  const own = ownKeys(config)
  const fetch = createProviderFetch({ ca: config.ca, timeoutMs: 10_000, bytesMax: 8 * 1_048_576 })
  const idp = createIdp(config.idp, fetch, clock)
  const leewaySec = config.leewaySec ?? 60

  return {
    async begin({ returnTo }) {
      const binding = config.requestBinding ?? 'redirect'
      const destination = destinationOf(await idp(), binding)
      const { entityId, acsUrl, nameIdFormat, forceAuthn, authnContexts } = config
      const asked = { entityId, acsUrl, destination, nameIdFormat, forceAuthn, authnContexts }
      const request = makeAuthnRequest({ ...asked, nowUs: clock.nowUs() })
      // Bindings 3.4.3: at most 80 bytes, so a handle and not the place itself.
      const state = randomBytes(24).toString('base64url')
      const { sealed, expiresAtUs } = transactions.seal(config.name, {
        state,
        redirectUri: acsUrl,
        returnTo: safeReturnTo(returnTo),
        requestId: request.id,
      })
      const begun = { transaction: sealed, cookieSameSite: 'none', expiresAtUs } as const
      return binding === 'redirect'
        ? { ...begun, url: redirectUrl(destination, request.xml, state, own.pair), form: undefined }
        : { ...begun, url: destination, form: postFields(request.xml, state, own.pair) }
    },

    async finish({ samlResponse, relayState }, sealed) {
      const transaction = openTransaction(sealed, relayState)
      const { entityId: issuer, signing } = await idp()
      const { signed = 'assertion', mustEncrypt = false } = config
      const message = readResponse(samlResponse, { signing, decryption: own.decryption, signed, mustEncrypt })
      const { person, assertionId, endsUs } = personOfAssertion(
        message,
        {
          issuer,
          audience: config.entityId,
          acsUrl: config.acsUrl,
          requestId: transaction?.requestId,
          nowUs: clock.nowUs(),
          leewaySec,
          maxAgeSec: config.maxAgeSec,
          authnContexts: config.authnContexts,
        },
        config,
      )
      await claim(used, `saml|${issuer}|${assertionId}`, endsUs)
      await transaction?.use()
      return { provider: config.name, person, returnTo: transaction?.returnTo ?? '/' }
    },

    metadata: () =>
      spMetadata({
        entityId: config.entityId,
        acsUrl: config.acsUrl,
        wantAssertionsSigned: config.signed !== 'response',
        nameIdFormat: config.nameIdFormat,
        signingCertificates: config.signing ? [config.signing.certificate] : [],
        encryptionCertificates: (config.decryption ?? []).map(({ certificate }) => certificate),
      }),
  }

  function openTransaction(
    sealed: string | undefined,
    relayState: string | undefined,
  ): OpenTransaction | undefined {
    if (sealed === undefined) {
      if (config.idpInitiated) return undefined
      throw new SignInError(
        'unsolicited',
        'there is no transaction: the provider began, or the cookie was lost',
      )
    }
    const transaction = transactions.open(config.name, sealed)
    if (transaction.requestId === undefined)
      throw new SignInError('transaction_invalid', 'the transaction was begun for another protocol')
    const isOurs = equal(transaction.state, relayState ?? '')
    // A cookie of an abandoned sign-in says nothing about what a provider begins by itself.
    if (!isOurs && config.idpInitiated) return undefined
    if (!isOurs) throw new SignInError('mismatch', 'RelayState is not the one of this browser')
    return transaction
  }
}

function ownKeys(config: SamlProviderConfig) {
  try {
    if (!isSafeProviderUrl(new URL(config.acsUrl)))
      throw new Error('acsUrl must be https (http on loopback only)')
    const metadataUrl = config.idp.metadataUrl && URL.parse(config.idp.metadataUrl)
    if (metadataUrl && !isSafeProviderUrl(metadataUrl)) throw new Error('metadataUrl must be https')
    const decryption = (config.decryption ?? []).map(({ key, certificate }) => {
      const secret = rsaPrivateKey(key)
      if (!new X509Certificate(certificate).checkPrivateKey(secret))
        throw new Error('a decryption certificate is not for its key')
      return secret
    })
    if (config.mustEncrypt && decryption.length === 0) throw new Error('mustEncrypt needs a decryption key')
    const pair = config.signing && signingPair(config.signing.key, config.signing.certificate)
    return { decryption, pair }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new SignInError('config', `provider ${config.name}: ${why}`)
  }
}

function destinationOf(idp: IdpDescription, binding: 'redirect' | 'post'): string {
  const address = binding === 'redirect' ? idp.redirectUrl : idp.postUrl
  const url = address === undefined ? null : URL.parse(address)
  if (address === undefined || !url || !isSafeProviderUrl(url))
    throw new SignInError('config', `the provider takes no requests by ${binding} at an https address`)
  // As written: providers compare it as text.
  return address
}

async function claim(used: UsedOnce, id: string, untilUs: number): Promise<void> {
  const first = await used.claim(id, untilUs).catch((cause) => {
    throw new SignInError('replay_memory', 'whether this assertion was used before cannot be told', { cause })
  })
  if (!first) throw new SignInError('replayed', 'the assertion was used before')
}

function equal(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}
