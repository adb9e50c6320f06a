/**
 * Stand-ins for what no test machine has: AWS (Secrets Manager, KMS and STS, after their API references) and the
 * Kubernetes API (Secret v1). Requests to AWS must be signed: the signature is computed here anew, after "Create a signed
 * AWS API request" and with nothing of the library that made it. They prove nothing about AWS or Kubernetes themselves.
 */
import { createHash, createHmac } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Started } from '@portcullis/kernel'

export interface CloudStandIn {
  readonly url: string
  /** Access keys that AWS knows: secret and session token by id. */
  readonly keys: Map<string, { readonly secret: string; readonly session: string }>
  /** Of Secrets Manager, by name. */
  readonly awsSecrets: Map<string, string>
  /** Web identity tokens that STS takes. */
  readonly webTokens: Set<string>
  /** Of Kubernetes, by `namespace/name`. */
  readonly k8sSecrets: Map<string, Readonly<Record<string, string>>>
  /** Service account tokens that the Kubernetes API takes. */
  readonly k8sTokens: Set<string>
  /** Why requests to AWS were refused. */
  readonly refused: string[]
  /** Requests by path or action. */
  readonly asked: string[]
}

type Reply = { readonly status: number; readonly text: string }

export async function startCloudStandIn(): Promise<Started<CloudStandIn>> {
  const sealedByKms = new Map<string, { plain: string; context: string }>()

  function aws(request: IncomingMessage, body: string): Reply {
    const why = whyNotSigned(request, body, value.keys)
    if (why !== undefined) {
      value.refused.push(why)
      return json(403, { __type: 'InvalidSignatureException', message: why })
    }
    const target = String(request.headers['x-amz-target'])
    value.asked.push(target)
    const asked = JSON.parse(body)
    if (target === 'secretsmanager.GetSecretValue') {
      const text = value.awsSecrets.get(asked.SecretId)
      return text === undefined
        ? json(400, { __type: 'ResourceNotFoundException' })
        : json(200, { Name: asked.SecretId, SecretString: text, VersionStages: ['AWSCURRENT'] })
    }
    const context = JSON.stringify(asked.EncryptionContext)
    if (target === 'TrentService.Encrypt') {
      const blob = Buffer.from(`blob-${sealedByKms.size}`).toString('base64')
      sealedByKms.set(blob, { plain: asked.Plaintext, context })
      return json(200, { CiphertextBlob: blob, KeyId: asked.KeyId })
    }
    const found = sealedByKms.get(asked.CiphertextBlob)
    if (target !== 'TrentService.Decrypt' || found?.context !== context)
      return json(400, { __type: 'InvalidCiphertextException' })
    return json(200, { Plaintext: found.plain, KeyId: asked.KeyId })
  }

  function sts(body: string): Reply {
    const form = new URLSearchParams(body)
    value.asked.push(form.get('Action') ?? '')
    if (form.get('Version') !== '2011-06-15' || !value.webTokens.has(form.get('WebIdentityToken') ?? ''))
      return {
        status: 400,
        text: '<ErrorResponse><Error><Code>InvalidIdentityToken</Code></Error></ErrorResponse>',
      }
    const id = `ASIA${value.keys.size}`
    value.keys.set(id, { secret: `sts/secret+${id}`, session: `session-${id}=` })
    const expiration = new Date(Date.now() + 3_600_000).toISOString()
    return {
      status: 200,
      text: `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>${id}</AccessKeyId><SecretAccessKey>sts/secret+${id}</SecretAccessKey><SessionToken>session-${id}=</SessionToken><Expiration>${expiration}</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
    }
  }

  function kubernetes(request: IncomingMessage): Reply {
    value.asked.push(String(request.url))
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? ''
    if (!value.k8sTokens.has(token)) return json(401, { kind: 'Status', code: 401 })
    const [, namespace, name] =
      /^\/api\/v1\/namespaces\/([^/]+)\/secrets\/([^/]+)$/.exec(request.url ?? '') ?? []
    const found = value.k8sSecrets.get(`${namespace}/${name}`)
    if (!found) return json(404, { kind: 'Status', code: 404 })
    const data = Object.fromEntries(
      Object.entries(found).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
    )
    return json(200, { kind: 'Secret', apiVersion: 'v1', type: 'Opaque', data })
  }

  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const body = Buffer.concat(chunks).toString()
    const { status, text } = request.url?.startsWith('/api/')
      ? kubernetes(request)
      : request.url === '/sts'
        ? sts(body)
        : aws(request, body)
    response.writeHead(status).end(text)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const value: CloudStandIn = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    keys: new Map(),
    awsSecrets: new Map(),
    webTokens: new Set(),
    k8sSecrets: new Map(),
    k8sTokens: new Set(),
    refused: [],
    asked: [],
  }
  return {
    value,
    async stop() {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

/** Signature Version 4, as the service checks it; undefined where it is right. */
function whyNotSigned(
  request: IncomingMessage,
  body: string,
  keys: CloudStandIn['keys'],
): string | undefined {
  const given =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
      request.headers.authorization ?? '',
    )
  if (!given) return 'no signature'
  const [, id = '', day = '', region = '', service = '', names = '', signature] = given
  const key = keys.get(id)
  if (!key) return 'unknown access key'
  if ((request.headers['x-amz-security-token'] ?? '') !== key.session) return 'wrong session token'
  const at = String(request.headers['x-amz-date'])
  const atMs = Date.parse(at.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
  if (!at.startsWith(day) || !(Math.abs(Date.now() - atMs) < 300_000)) return 'wrong time'
  const signed = names.split(';')
  for (const name of ['host', 'x-amz-date', 'x-amz-target'])
    if (!signed.includes(name)) return `${name} is not signed`
  const canonical = [
    request.method,
    '/',
    '',
    ...signed.map((name) => `${name}:${String(request.headers[name]).trim().replace(/ +/g, ' ')}`),
    '',
    names,
    createHash('sha256').update(body).digest('hex'),
  ].join('\n')
  const scope = `${day}/${region}/${service}/aws4_request`
  const toSign = `AWS4-HMAC-SHA256\n${at}\n${scope}\n${createHash('sha256').update(canonical).digest('hex')}`
  const secret = [day, region, service, 'aws4_request'].reduce<string | Buffer>(
    (under, part) => createHmac('sha256', under).update(part).digest(),
    `AWS4${key.secret}`,
  )
  const right = createHmac('sha256', secret).update(toSign).digest('hex')
  return right === signature ? undefined : 'wrong signature'
}

function json(status: number, body: object): Reply {
  return { status, text: JSON.stringify(body) }
}
