/** What the configuration lets pass, the verifier of tokens must take: `--validate` may not promise what a start breaks. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Config, parseConfig } from '@portcullis/config'
import { createTokenVerifier } from '@portcullis/identity'
import { systemClock } from '@portcullis/kernel'

const configuration = (line: string) => `
bus: lmdb:./bus
audit: embedded:./audit
identity:
  issuers:
    - issuer: http://127.0.0.1:8000
      audience: [portcullis]
      ${line}
targets:
  - { name: shop, protocol: postgres, address: 127.0.0.1:5432, credentials: { user: app }, groups: [agents] }
proxy:
  recorder: { onUnavailable: deny }
`
const log = { info: () => undefined, warn: () => undefined }
const start = (issuers: Config['identity']['issuers']) =>
  createTokenVerifier({
    issuers: issuers.map(({ ca: _, jwksUri, jwksToken: __, ...issuer }) => ({
      ...issuer,
      ...(jwksUri && { jwksUri }),
    })),
    clock: systemClock,
    log,
  })

const extremes = [
  'leewaySec: 0',
  'leewaySec: 300',
  'jwksCacheSec: 1',
  'jwksCacheSec: 86400',
  'jwksStaleSec: 0',
  'jwksStaleSec: 2592000',
  'jwksCooldownSec: 1',
  'jwksCooldownSec: 3600',
  'maxTokenBytes: 256',
  'maxTokenBytes: 65536',
  'algorithms: [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519]',
  'jwksUri: http://localhost:8001/keys',
  'jwksUri: https://keys.example/jwks',
  "requiredClaims: { repository_id: ['123'] }",
  'actorIssuers: [https://other.example]',
  `conditions: ['claims.ref == "refs/heads/main"', 'claims.groups.exists(g, g.startsWith("team-"))']`,
  `subject: '"ci:" + claims.repository_id'`,
  "groups: 'claims.realm_access.roles'",
  'addGroups: [ci]',
  "instance: 'claims.run_id'",
  "task: 'claims.workflow'",
]

for (const line of extremes)
  test(`the verifier starts with ${line}`, () => {
    const { identity } = parseConfig(configuration(line), '/etc/p.yaml')
    assert.equal(start(identity.issuers).status().length, 1)
  })

for (const issuer of [
  'http://idp.example',
  'https://idp.example/?a=b',
  'https://a:b@idp.example',
  'https://idp.example/a|b',
])
  test(`neither takes the issuer ${issuer}`, () => {
    const text = configuration('').replace('http://127.0.0.1:8000', `'${issuer}'`)
    assert.throws(() => parseConfig(text, '/etc/p.yaml'), /identity\.issuers\.0\.issuer/)
    const { identity } = parseConfig(configuration(''), '/etc/p.yaml')
    assert.throws(() => start(identity.issuers.map((one) => ({ ...one, issuer }))), /issuer must/)
  })
