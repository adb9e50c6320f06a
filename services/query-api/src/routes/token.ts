/**
 * The token endpoint (RFC 8693), the device flow (RFC 8628), keys (RFC 7517) and metadata (RFC 8414). Open to everyone: what
 * is presented is the proof. Its errors are those of RFC 6749, since its clients are OAuth's.
 */
import { dpopAlgorithms } from '@portcullis/identity'
import type { FastifyInstance } from 'fastify'
import { sentProof } from '../endpoint.ts'
import { type DeviceFlow, deviceGrant } from '../people/device.ts'
import type { SigningKeys } from '../tokens/signing-keys.ts'
import { OauthError } from '../tokens/oauth-error.ts'
import { exchangeGrant, inputTypes } from '../tokens/trade-form.ts'
import type { Trader } from '../tokens/trader.ts'

export interface TokenRouteParts {
  readonly trader: Trader
  readonly signingKeys: Pick<SigningKeys, 'list'>
  readonly issuer: string
  /** Undefined where no person can sign in. */
  readonly devices: DeviceFlow | undefined
}

const form = 'application/x-www-form-urlencoded'

export async function tokenRoutes(app: FastifyInstance, parts: TokenRouteParts): Promise<void> {
  const { trader, signingKeys, issuer, devices } = parts
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(
    form,
    { parseAs: 'string' },
    async (_request: unknown, body: string | Buffer) => new URLSearchParams(String(body)),
  )
  app.setErrorHandler((thrown, _request, reply) => {
    const error = thrown instanceof OauthError ? thrown : malformed(thrown)
    if (error.retryAfterSec !== undefined) reply.header('retry-after', String(error.retryAfterSec))
    return reply.code(error.status).send({ error: error.code, error_description: error.message })
  })
  app.post('/v1/token', { schema: described }, async (request) => {
    const { body, ip: address, id: requestId } = request
    if (!(body instanceof URLSearchParams)) throw malformed(undefined)
    if (devices && body.get('grant_type') === deviceGrant) return devices.redeem(body, { address, requestId })
    return trader.trade(body, { address, sent: sentProof(request) }, requestId)
  })
  if (devices)
    app.post('/v1/device-authorization', { schema: describedDevice }, async (request) => {
      const { body, ip: address, id: requestId } = request
      if (!(body instanceof URLSearchParams)) throw malformed(undefined)
      return devices.ask(body, { address, requestId })
    })
  const hidden = { schema: { hide: true } }
  app.get('/v1/jwks.json', hidden, async () => ({
    keys: signingKeys.list().map(({ keyId, algorithm, publicJwk }) => ({
      ...(JSON.parse(publicJwk) as object),
      ...{ kid: keyId, alg: algorithm, use: 'sig' },
    })),
  }))
  app.get('/.well-known/oauth-authorization-server', hidden, async () => ({
    issuer,
    token_endpoint: `${issuer}/v1/token`,
    jwks_uri: `${issuer}/v1/jwks.json`,
    ...(devices && { device_authorization_endpoint: `${issuer}/v1/device-authorization` }),
    grant_types_supported: devices ? [exchangeGrant, deviceGrant] : [exchangeGrant],
    token_endpoint_auth_methods_supported: ['none'],
    dpop_signing_alg_values_supported: dpopAlgorithms,
    response_types_supported: [],
  }))
}

function malformed(cause: unknown): OauthError {
  return new OauthError('invalid_request', `send a form: Content-Type: ${form}`, { cause })
}

const text = { type: 'string' } as const
const described = {
  tags: ['tokens'],
  summary: 'Trade a proof for a short-lived token of our own (RFC 8693)',
  description:
    'Form-encoded. subject_token is a JWT of a trusted issuer, an API key or one of our own tokens; with actor_token the actor acts on behalf of the subject. scope: target:NAME, role:NAME, group:NAME; targets may stand in resource (urn:portcullis:target:NAME) or audience too. A child never has more than its parents and dies with them. With a DPoP proof (RFC 9449) it is bound to the key of that proof, and token_type is DPoP. Errors are of RFC 6749.',
  consumes: [form],
  body: {
    type: 'object',
    required: ['grant_type', 'subject_token', 'subject_token_type'],
    properties: {
      grant_type: { const: exchangeGrant },
      ...{ subject_token: text, subject_token_type: { enum: inputTypes } },
      ...{ actor_token: text, actor_token_type: { enum: inputTypes } },
      ...{ scope: text, task: text, requested_token_type: text },
      ...{ resource: { type: 'array', items: text }, audience: { type: 'array', items: text } },
    },
  },
  response: {
    200: {
      description: 'Success',
      type: 'object',
      properties: {
        ...{ access_token: text, issued_token_type: text, token_type: text, scope: text },
        expires_in: { type: 'integer' },
      },
    },
    default: {
      description: 'An error of RFC 6749',
      type: 'object',
      properties: { error: text, error_description: text },
    },
  },
}

const describedDevice = {
  tags: ['tokens'],
  summary: 'Begin to sign a command line or a device in (RFC 8628)',
  description:
    'Form-encoded: client_id (what to call it, shown to the person) and scope. A person opens verification_uri and types user_code; poll /v1/token meanwhile with grant_type urn:ietf:params:oauth:grant-type:device_code, device_code and client_id, not more often than interval says.',
  consumes: [form],
  response: {
    200: {
      description: 'Success',
      type: 'object',
      properties: {
        ...{ device_code: text, user_code: text, verification_uri: text, verification_uri_complete: text },
        ...{ expires_in: { type: 'integer' }, interval: { type: 'integer' } },
      },
    },
    default: described.response.default,
  },
}
