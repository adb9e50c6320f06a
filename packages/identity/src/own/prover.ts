/**
 * Whatever a client presents -> whom it proves, until when and for what: an API key, a token of our own, one of a trusted
 * issuer, or a client certificate alone. What each is is told by its own form, so that none is ever tried as another. What was withdrawn takes effect
 * with the control log's next word, in spite of any cache.
 */
import type { ApiKey, ClientCertificate, Clock, Holdings, Identity } from '@portcullis/kernel'
import { type CertificateRule, createCertificateProver } from '../certificate.ts'
import { IdentityError } from '../errors.ts'
import type { IdentityLog } from '../issuer-keys.ts'
import type { TokenVerifier } from '../verifier.ts'
import { apiKeyPrefix, type KnownApiKey, knownApiKey, proveApiKey } from './api-key.ts'
import { createOwnVerifier, isOwnToken, withdrawnBy } from './own-verifier.ts'
import { type Presented, type ScopedProof, tokenName } from './proof.ts'
import { everything } from './scope.ts'

export interface Prover {
  /** Rejects with IdentityError. An empty token is for a client whose certificate is its proof. */
  prove(token: string, presented: Presented): Promise<ScopedProof>
  /** Whether there is no token to ask for: the certificate proves somebody by itself, or is to be refused. */
  isEnough(certificate: ClientCertificate): boolean
  /** From now on these are the keys, and these issuers are trusted no longer: nor is what was traded from their tokens. */
  replace(holdings: Pick<Holdings, 'signingKeys' | 'apiKeys' | 'removedIssuers'>): void
  /** Why an identity that was proven before no longer is, though its token may not be over; undefined where it still is. */
  withdrawn(identity: Pick<Identity, 'issuer' | 'instance' | 'ancestors' | 'delegation'>): string | undefined
}

export interface ProverOptions {
  /** What our own tokens name. */
  readonly own: { readonly issuer: string; readonly audience: string }
  readonly issuers: Pick<TokenVerifier, 'verify'>
  /** Issuers that the configuration file names, whatever was taken out elsewhere. */
  readonly lasting?: readonly string[]
  readonly clock: Clock
  readonly log: Pick<IdentityLog, 'warn'>
  readonly cacheEntriesMax?: number
  /** Whom client certificates prove by themselves; nobody where absent. */
  readonly certificateRules?: readonly CertificateRule[]
}

export function createProver(options: ProverOptions): Prover {
  const { own, issuers, lasting = [], clock, certificateRules, ...rest } = options
  const certificates = createCertificateProver(certificateRules ?? [], clock)
  const tokens = createOwnVerifier({ ...own, clock, ...rest })
  let known = new Map<string, KnownApiKey>()
  let apiKeys = new Map<string, ApiKey>()

  let removed: readonly string[] = []

  const withdrawn: Prover['withdrawn'] = (identity) =>
    withdrawnBy(identity, apiKeys) ?? untrustedBy(identity, removed)

  return {
    withdrawn,
    isEnough: certificates.isEnough,
    replace(holdings) {
      tokens.replace(holdings.signingKeys)
      const before = known
      known = new Map(
        holdings.apiKeys.map((key) => {
          const same = before.get(key.keyId)
          return [key.keyId, same?.key === key ? same : knownApiKey(key)]
        }),
      )
      apiKeys = new Map(holdings.apiKeys.map((key) => [key.keyId, key]))
      removed = holdings.removedIssuers.filter((issuer) => !lasting.includes(issuer))
    },
    async prove(token, presented) {
      const { certificate } = presented
      if (certificate) {
        certificates.requireTrusted(certificate)
        if (token === '') return certificates.prove(certificate)
      }
      if (token.startsWith(apiKeyPrefix)) return proveApiKey(token, known, presented.address, clock.nowUs())
      if (!isOwnToken(token)) return { ...(await issuers.verify(token, presented)), scope: everything }
      const proof = await tokens.verify(token, presented)
      const why = withdrawn(proof.identity)
      if (why === undefined) return proof
      throw new IdentityError('disabled', why, { proven: proof })
    },
  }
}

/**
 * Why an identity is no longer vouched for; `removed` are URLs, which have no spaces. Whoever signs a token with `act` is
 * the issuer of on whose behalf it is: the actor may be of another.
 */
function untrustedBy(
  { issuer, ancestors, delegation }: Pick<Identity, 'issuer' | 'ancestors' | 'delegation'>,
  removed: readonly string[],
): string | undefined {
  const gone = removed.find(
    (url) =>
      issuer === url ||
      delegation.some((actor) => actor.issuer === url) ||
      ancestors.some((name) => name.startsWith(tokenName({ issuer: url, instance: '' }))),
  )
  return gone === undefined ? undefined : `issuer ${gone} is trusted no longer`
}
