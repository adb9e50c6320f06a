/**
 * How people sign in: providers of OIDC and of SAML, each kind a list of its own, so that a mistake is reported against the
 * keys that this kind has. Which role their groups give is said by `api.roles`, or by a provider's
 * own `roles` where its groups must not be mistaken for another's. Refuses what could not be served safely: plain HTTP
 * beyond loopback, algorithms with SHA-1 or a shared secret, secrets in the file.
 */
import { z } from 'zod'
import { filePath, positive, secretRef } from './forms.ts'
import { isLoopbackHttp } from './issuer-schema.ts'

/** What seals sign-ins must not be guessed. */
export const peopleKeyCharsMin = 32

/** One ladder; each role may do what those before it may. */
export const role = z.enum(['viewer', 'responder', 'approver', 'admin'])

const isSafe = (text: string) => URL.parse(text)?.protocol === 'https:' || isLoopbackHttp(text)
const safeUrl = z.url().refine(isSafe, 'must be https (http on loopback only)')
const issuerUrl = safeUrl.refine((text) => {
  const url = URL.parse(text)
  return !url?.search && !url?.hash && !url?.username && !/[|\s]/.test(text)
}, 'must have no query, fragment, credentials, | or spaces')
const publicUrl = safeUrl.refine(
  (text) => URL.parse(text)?.origin === text,
  'must be an origin alone, such as https://portcullis.example',
)
const texts = z.array(z.string().min(1)).min(1)
const allowedValues = z.record(z.string().min(1), texts).default({})
const ca = filePath("PEM file with the certificate authorities of the provider; the system's where absent.")
const seconds = positive.max(31_536_000)

const common = {
  name: z
    .string()
    .regex(
      /^[a-z0-9][a-z0-9._-]{0,62}$/,
      'must be a name of lower-case letters, digits, ".", "_" or "-", at most 63',
    )
    .describe(
      'Part of the addresses that are registered at the provider: `/sign-in/NAME/callback`, `/sign-in/NAME/acs`.',
    ),
  title: z.string().min(1).max(100).optional().describe('What the button says; the name where absent.'),
  roles: z
    .record(z.string(), role)
    .optional()
    .describe("Role by group for this provider's people, instead of `api.roles`."),
  maxAgeSec: seconds
    .optional()
    .describe(
      'The person must have proven themselves to the provider within this time; without it any session there will do.',
    ),
  ca: ca.optional(),
}

const reservedParameter =
  /^(client_id|response_type|redirect_uri|scope|state|nonce|code_challenge.*|request.*|response_mode)$/

const oidc = z.strictObject({
  ...common,
  issuer: issuerUrl.describe("Issuer URL, exactly as in ID tokens' `iss`; the base of discovery."),
  clientId: z.string().min(1),
  clientSecret: secretRef.optional().describe('Absent for a public client, which PKCE alone protects.'),
  clientAuth: z.enum(['basic', 'post']).default('basic').describe('How the client id and secret are sent.'),
  scopes: z
    .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/))
    .default(['profile', 'email'])
    .describe('Beside `openid`.'),
  algorithms: z
    .array(
      z.enum([
        ...(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const),
        ...(['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const),
      ]),
    )
    .min(1)
    .default(['RS256', 'PS256', 'ES256', 'EdDSA'])
    .describe('Signature algorithms of ID tokens.'),
  groupsClaim: z
    .string()
    .min(1)
    .default('groups')
    .describe('Claim that holds the groups; a dotted path reaches into objects.'),
  subjectClaim: z
    .string()
    .min(1)
    .default('sub')
    .describe('Claim that names the person; must be stable and unique, which only `sub` is promised to be.'),
  nameClaim: z.string().min(1).default('name').describe('For the screen only.'),
  emailClaim: z.string().min(1).default('email').describe('For the screen only.'),
  userinfo: z
    .boolean()
    .default(false)
    .describe('Whether claims that the ID token lacks are asked for at the userinfo endpoint.'),
  requiredClaims: allowedValues.describe(
    'Claims (or dotted paths) and the values allowed for each, such as a tenant (`tid`) or hosted domain (`hd`).',
  ),
  acrValues: texts.optional().describe("One of these must be the ID token's `acr`; they are asked for."),
  parameters: z
    .record(z.string(), z.string())
    .default({})
    .refine(
      (given) => !Object.keys(given).some((key) => reservedParameter.test(key)),
      'must not set what the protocol sets itself',
    )
    .describe('Further parameters of the request, such as `prompt`.'),
  leewaySec: z.number().min(0).max(300).default(30).describe('Clock skew allowed.'),
})

const pair = z.strictObject({
  key: secretRef.describe('Reference to the PEM key, RSA of at least 2048 bits.'),
  cert: filePath('Its PEM certificate, which the provider is told.'),
})

const saml = z.strictObject({
  ...common,
  idp: z
    .strictObject({
      metadataUrl: safeUrl
        .optional()
        .describe("The provider's metadata, asked for each hour; those known serve a day longer."),
      metadataFile: filePath("The provider's metadata.").optional(),
      entityId: z
        .string()
        .regex(/^[^|\s]+$/, 'must have no | or spaces')
        .optional()
        .describe('Required without metadata, and where those describe several providers.'),
      redirectUrl: safeUrl
        .optional()
        .describe('Where it takes requests by redirect, instead of what the metadata say.'),
      postUrl: safeUrl.optional().describe('Where it takes requests by POST.'),
      certificates: z
        .array(filePath('PEM certificate.'))
        .default([])
        .describe(
          'PEM files of certificates it signs with, beside those of the metadata; several while one is rolled over.',
        ),
    })
    .refine((idp) => !(idp.metadataUrl && idp.metadataFile), 'metadataUrl or metadataFile, not both')
    .refine(
      (idp) =>
        idp.metadataUrl ||
        idp.metadataFile ||
        (idp.entityId && idp.certificates.length > 0 && (idp.redirectUrl || idp.postUrl)),
      'needs metadataUrl, metadataFile, or all of entityId, certificates and redirectUrl or postUrl',
    )
    .describe('The identity provider.'),
  entityId: z
    .string()
    .min(1)
    .max(1024)
    .optional()
    .describe('Ours, and the audience of assertions; the address of our metadata where absent.'),
  requestBinding: z.enum(['redirect', 'post']).default('redirect').describe('How requests are sent.'),
  signed: z
    .enum(['assertion', 'response', 'both', 'either'])
    .default('assertion')
    .describe('What must be signed.'),
  signing: pair.optional().describe('With it requests are signed.'),
  decryption: z.array(pair).default([]).describe('For encrypted assertions, the newest first.'),
  mustEncrypt: z.boolean().default(false).describe('Whether plain assertions are refused.'),
  idpInitiated: z
    .boolean()
    .default(false)
    .describe(
      "Whether the provider may begin a sign-in. Anyone can then sign a person's browser in as themselves.",
    ),
  nameIdFormat: z
    .string()
    .min(1)
    .optional()
    .describe('Asked of the provider; its own choice where absent. A transient one is refused.'),
  forceAuthn: z.boolean().default(false).describe('Whether the person must prove themselves anew each time.'),
  authnContexts: texts
    .optional()
    .describe('One of these AuthnContextClassRef must be given; they are asked for.'),
  groupsAttribute: z
    .string()
    .min(1)
    .default('groups')
    .describe('Attribute (Name, else FriendlyName) that holds the groups.'),
  subjectAttribute: z
    .string()
    .min(1)
    .optional()
    .describe('Attribute that names the person, instead of the NameID; must be stable and unique.'),
  nameAttribute: z.string().min(1).default('displayName').describe('For the screen only.'),
  emailAttribute: z.string().min(1).default('email').describe('For the screen only.'),
  requiredAttributes: allowedValues.describe('Attributes and the values allowed for each.'),
  leewaySec: z.number().min(0).max(300).default(60).describe('Clock skew allowed.'),
})

export const people = z.strictObject({
  publicUrl: publicUrl.describe('Where browsers reach the API: the base of what is registered at providers.'),
  key: secretRef
    .optional()
    .describe(
      `At least ${peopleKeyCharsMin} random characters, the same for all replicas. Seals sign-ins that are under way; where absent, identity.own.key does.`,
    ),
  transactionSec: positive.max(3600).default(600).describe('How long a person may take at the provider.'),
  oidc: z.array(oidc).default([]).describe('OpenID providers, in the order in which they are offered.'),
  saml: z
    .array(saml)
    .default([])
    .describe('SAML 2.0 identity providers, offered after those; see [people](people.md).'),
})
