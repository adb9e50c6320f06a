/**
 * Where secrets are that neither the environment nor a file has: who is asked, as whom, and for how long the answer
 * serves. What the gate signs in with there is `env:` or `file:`, or nothing could begin.
 */
import { z } from 'zod'
import { aimAddress, filePath, positive, secretRef } from './forms.ts'
import { isLoopbackHttp } from './issuer-schema.ts'

/** Of 32 bytes in base64, without what fills it up. */
export const masterKeyCharsMin = 43

/** A secret in clear on a wire is nobody's secret any more. */
const serverUrl = z.url().refine((text) => {
  const url = URL.parse(text)
  if (!url || url.search || url.hash || url.username || url.password) return false
  return url.protocol === 'https:' || isLoopbackHttp(text)
}, 'must be https (http on loopback only), without query, fragment or credentials')

const path = z
  .string()
  .regex(/^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)*$/, 'must be a path such as approle, without / at its ends')

const inPod = '/var/run/secrets/kubernetes.io/serviceaccount'
const cert = "PEM file with the certificate authorities; the system's where absent."

const vaultAuth = z.strictObject({
  token: secretRef.optional().describe('A token, read anew for each use: Vault Agent may keep it in a file.'),
  appRole: z
    .strictObject({ roleId: secretRef, secretId: secretRef, mount: path.default('approle') })
    .optional(),
  kubernetes: z
    .strictObject({
      role: z.string().min(1),
      tokenFile: filePath("The pod's token for Vault.").default(`${inPod}/token`),
      mount: path.default('kubernetes'),
    })
    .optional(),
  jwt: z
    .strictObject({
      role: z.string().min(1),
      token: secretRef.describe('The JWT.'),
      mount: path.default('jwt'),
    })
    .optional(),
})

const vault = z.strictObject({
  address: serverUrl.describe('URL of HashiCorp Vault or OpenBao.'),
  namespace: z.string().min(1).optional().describe('Namespace of Vault Enterprise.'),
  ca: filePath(cert).optional(),
  auth: vaultAuth.describe('How the gate logs in: one of the following.'),
})

const aws = z.strictObject({
  region: z.string().regex(/^[a-z]{2}(-[a-z]+)+-\d$/, 'must be a region such as eu-west-1'),
  endpoint: serverUrl.optional().describe("In place of the region's own, such as a VPC endpoint."),
  ca: filePath(cert).optional(),
  credentials: z
    .strictObject({
      accessKeyId: secretRef,
      secretAccessKey: secretRef,
      sessionToken: secretRef.optional(),
    })
    .optional()
    .describe(
      'Where absent: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN of the environment, else web identity.',
    ),
  webIdentity: z
    .strictObject({
      roleArn: z.string().startsWith('arn:'),
      tokenFile: filePath('The token that is exchanged.'),
      stsEndpoint: serverUrl.optional().describe("In place of the region's own."),
    })
    .optional()
    .describe('Where absent: AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE, as EKS sets them.'),
})

const kubernetes = z.strictObject({
  server: serverUrl.default('https://kubernetes.default.svc').describe('URL of the API server.'),
  tokenFile: filePath("The pod's own token.").default(`${inPod}/token`),
  ca: filePath('PEM file with the certificate authorities of the API server.').default(`${inPod}/ca.crt`),
})

const sealing = z.strictObject({
  keys: z
    .array(
      z.strictObject({
        id: z
          .string()
          .regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be letters, digits, ".", "_" or "-", at most 64')
          .describe('Any name; it stands in what the key sealed.'),
        key: secretRef.describe('Reference to 32 random bytes, as base64 or 64 hexadecimal digits.'),
      }),
    )
    .min(1)
    .optional()
    .describe(
      'Master keys that the services read. The first seals, all open: put a new one first to rotate.',
    ),
  transit: z
    .strictObject({
      mount: path.default('transit'),
      key: z
        .string()
        .regex(/^[A-Za-z0-9_.-]+$/, 'must be the name of a key')
        .describe('A key of type aes256-gcm96.'),
    })
    .optional()
    .describe("A key of Vault's transit engine, which no process of the gate sees; needs `secrets.vault`."),
  kms: z
    .strictObject({ key: z.string().min(1).describe('ARN or alias of a symmetric key.') })
    .optional()
    .describe('A key of AWS KMS, which no process of the gate sees; needs `secrets.aws`.'),
})

const api = z.strictObject({
  allow: z
    .array(
      z.strictObject({
        references: z
          .string()
          .regex(/^(vault|aws-sm|k8s):/, 'must begin with vault:, aws-sm: or k8s:')
          .describe(
            'A reference, or what it begins with up to a `:`, `/` or `#`: `vault:secret/data/shop` has all fields of that secret and what lies under it, and not `shop-admin`.',
          ),
        addresses: z
          .array(aimAddress)
          .min(1)
          .describe('HOST:PORT that a target must have to sign in with it, all of its hosts; "*" for any.'),
      }),
    )
    .default([])
    .describe('What targets of the API may refer to: nothing of these kinds where absent.'),
})

export const secrets = z.strictObject({
  cacheSec: positive
    .max(86_400)
    .default(60)
    .describe('How long a value is taken for new; it is read anew in the background before that.'),
  staleSec: z
    .number()
    .int()
    .min(0)
    .max(2_592_000)
    .default(3600)
    .describe('How much longer the last good value serves while its source is away.'),
  timeoutMs: positive.max(30_000).default(3000).describe('How long one exchange with a source may take.'),
  vault: vault.optional().describe('For `vault:` references.'),
  aws: aws.optional().describe('For `aws-sm:` references.'),
  kubernetes: kubernetes.optional().describe('For `k8s:` references.'),
  api: api
    .prefault({})
    .describe('Which secrets that lie elsewhere targets of the API may sign in with, and where.'),
  sealing: sealing
    .optional()
    .describe(
      'For `sealed:` references, and what is sealed by the API: the master key, by one of the following. The API and the proxies need the same.',
    ),
})
