/**
 * One trusted issuer of tokens. Every limit is the verifier's own, so that `--validate` reports with its line what the
 * verifier would refuse.
 */
import { compileExpression, ExpressionError, type ResultType } from '@portcullis/expressions'
import { z } from 'zod'
import { pemOrPath, positive, secretRef } from './forms.ts'

export const issuerUrl = z.url().refine((text) => {
  const url = URL.parse(text)
  if (!url || url.search || url.hash || url.username || url.password || /[|\s]/.test(text)) return false
  return url.protocol === 'https:' || isLoopbackHttp(text)
}, 'must be https (http on loopback only), without query, fragment, credentials, | or spaces')

const texts = z.array(z.string().min(1)).min(1)

/** CEL over the token's claims; compiled here, so that a wrong one has its line. */
function expression(type: ResultType) {
  return z.string().superRefine((text, context) => {
    try {
      compileExpression(text, 'claims', type)
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error
      context.addIssue({ code: 'custom', message: error.message })
    }
  })
}

/** Whether a token is good only where it was used first. */
export const pinAddress = z.enum(['off', 'address', 'network'])

export const issuer = z.strictObject({
  issuer: issuerUrl.describe(
    "Issuer URL, exactly as in the tokens' `iss`: https, or http where the issuer is on loopback.",
  ),
  audience: texts.describe('A token must be for one of these.'),
  algorithms: z
    .array(
      z.enum([
        ...(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const),
        ...(['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const),
      ]),
    )
    .min(1)
    .default(['RS256', 'PS256', 'ES256', 'EdDSA'])
    .describe('Signature algorithms this issuer may use.'),
  requiredClaims: z
    .record(z.string().min(1), texts)
    .default({})
    .describe(
      "Claims (or dotted paths) and the values allowed for each. Pins what a shared issuer leaves open: for GitHub's, pin `repository_id`, since anyone's workflow gets a token there. Numbers are written as strings.",
    ),
  conditions: z
    .array(expression('bool'))
    .default([])
    .describe(
      'CEL expressions over `claims`, such as `claims.ref == "refs/heads/main"`. A token is taken where every one is true; one that reads a claim that is not there refuses it. See [identity](identity.md).',
    ),
  authorizedParties: texts
    .optional()
    .describe(
      'Where given, the client that the token was issued to (`azp`, or `client_id`) must be one of these.',
    ),
  actorIssuers: z
    .array(issuerUrl)
    .default([])
    .describe('Other issuers whose subjects this one may name in a delegation chain (`act.iss`).'),
  leewaySec: z.number().min(0).max(300).default(30).describe('Clock skew allowed for exp, nbf and iat.'),
  groupsClaim: z
    .string()
    .min(1)
    .default('groups')
    .describe('Claim that holds the groups; a dotted path reaches into objects.'),
  groups: expression('strings')
    .optional()
    .describe('CEL over `claims` that gives the groups, in place of `groupsClaim`.'),
  addGroups: texts.default([]).describe('Groups that every identity of this issuer has besides.'),
  subjectClaim: z.string().min(1).default('sub').describe('Claim that names the subject.'),
  subject: expression('string')
    .optional()
    .describe('CEL over `claims` that gives the subject, in place of `subjectClaim`.'),
  instance: expression('string')
    .optional()
    .describe(
      "CEL over `claims` that names the running copy, such as a CI run's id: all its tokens are then one instance. It must differ between any two copies. Where absent: each token (`jti`) is one.",
    ),
  task: expression('string')
    .optional()
    .describe('CEL over `claims` that says what the workload was sent to do; it stands on every event.'),
  jwksUri: z.url().optional().describe('Where the keys are, instead of by discovery.'),
  jwksToken: secretRef
    .optional()
    .describe(
      'Reference to a bearer token that is sent where keys are fetched, read anew each time; for the API server of a Kubernetes cluster. Only to the host of `issuer` or of `jwksUri`.',
    ),
  jwksCacheSec: positive
    .max(86_400)
    .default(600)
    .describe(
      'How long keys are used before they are fetched anew; a key that the issuer withdraws serves no longer.',
    ),
  jwksStaleSec: z
    .number()
    .int()
    .min(0)
    .max(2_592_000)
    .default(86_400)
    .describe('How much longer known keys serve while the issuer cannot be reached, over restarts too.'),
  jwksCooldownSec: z
    .number()
    .min(1)
    .max(3600)
    .default(10)
    .describe('Time between two fetches that tokens with unknown keys may cause.'),
  pinAddress: pinAddress
    .optional()
    .describe('As `identity.pinAddress`, for the tokens of this issuer; not for what is traded for them.'),
  maxTokenBytes: z
    .number()
    .int()
    .min(256)
    .max(65_536)
    .default(16_384)
    .describe('Longer tokens are refused unread.'),
  ca: pemOrPath(
    "PEM file with the certificate authorities of the issuer; the system's where absent.",
  ).optional(),
})

/** Plain HTTP is for issuers on the same machine, as in the demo. */
export function isLoopbackHttp(text: string): boolean {
  const url = URL.parse(text)
  return url?.protocol === 'http:' && /^(localhost|\[::1\]|127\.\d+\.\d+\.\d+)$/.test(url.hostname)
}
