/**
 * A client certificate -> whom it proves, where it proves anybody by itself. Pure but for the clock it is handed; that the
 * chain is right and the key is the client's was found by TLS before. It refuses to guess: of two names of the kind that
 * counts, neither does unless the rule tells them apart.
 */
import type { ClientCertificate, Clock } from '@portcullis/kernel'
import { IdentityError, quoteUnproven } from './errors.ts'
import type { ScopedProof } from './own/proof.ts'
import { everything } from './own/scope.ts'

/** Whom certificates of one kind prove. */
export interface CertificateRule {
  /** Of the identities; the name of no other issuer. */
  readonly issuer: string
  /** Which of the certificate's names is the subject. */
  readonly subject: 'uri' | 'dns' | 'commonName'
  /** Names this rule is for; one that ends in `*` is for all that begin so. */
  readonly names: readonly string[]
  readonly groups: readonly string[]
  /** Whether a token is asked for all the same; what proves is then the token, if there is one. */
  readonly askForToken: boolean
}

export interface CertificateProver {
  /** Throws IdentityError('certificate'). */
  prove(certificate: ClientCertificate): ScopedProof
  /** Throws where the certificate is not to be trusted, whatever else is presented with it. */
  requireTrusted(certificate: ClientCertificate): void
  /** Whether there is nothing to ask for: it proves somebody by itself, or is to be refused. */
  isEnough(certificate: ClientCertificate): boolean
}

export function createCertificateProver(rules: readonly CertificateRule[], clock: Clock): CertificateProver {
  const problemOf = ({ problem, validUntilUs }: ClientCertificate) =>
    problem ?? (clock.nowUs() >= validUntilUs ? 'it is expired' : undefined)

  function requireTrusted(certificate: ClientCertificate): void {
    const problem = problemOf(certificate)
    if (problem !== undefined)
      throw new IdentityError('certificate', `the client certificate is not trusted: ${problem}`)
  }

  return {
    requireTrusted,
    isEnough(certificate) {
      if (problemOf(certificate) !== undefined) return true
      return found(rules, certificate)?.rule.askForToken === false
    },
    prove(certificate) {
      requireTrusted(certificate)
      const match = found(rules, certificate)
      if (!match) {
        const names = [...certificate.uris, ...certificate.dnsNames, ...certificate.commonNames]
        throw new IdentityError(
          'certificate',
          `no rule names anybody by the client certificate of ${quoteUnproven(names.join(' '))}`,
        )
      }
      const { rule, subject } = match
      const instance = Buffer.from(certificate.thumbprint, 'base64url').toString('hex')
      return {
        identity: {
          issuer: rule.issuer,
          subject,
          groups: rule.groups,
          delegation: [],
          instance,
          task: '',
          ancestors: [],
        },
        expiresAtUs: certificate.validUntilUs,
        tokenId: instance,
        scope: everything,
      }
    },
  }
}

const nameCharsMax = 512

/** The first rule that names exactly one subject. */
function found(
  rules: readonly CertificateRule[],
  certificate: ClientCertificate,
): { readonly rule: CertificateRule; readonly subject: string } | undefined {
  for (const rule of rules) {
    const [subject, ...others] = namesOf(certificate, rule.subject).filter((name) => isNamed(name, rule))
    if (subject !== undefined && others.length === 0) return { rule, subject }
  }
  return undefined
}

/** A SPIFFE certificate has exactly one URI (X.509-SVID, section 2); so must any other that is to name somebody by it. */
function namesOf(certificate: ClientCertificate, kind: CertificateRule['subject']): readonly string[] {
  const { uris, dnsNames, commonNames } = certificate
  if (kind === 'dns') return dnsNames
  const names = kind === 'uri' ? uris : commonNames
  return names.length === 1 ? names : []
}

function isNamed(name: string, { names }: CertificateRule): boolean {
  if (name === '' || name.length > nameCharsMax) return false
  if (!name.isWellFormed() || /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(name)) return false
  return names.some((one) => (one.endsWith('*') ? name.startsWith(one.slice(0, -1)) : name === one))
}
