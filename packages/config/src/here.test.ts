import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ConfigError, loadConfigHere } from './index.ts'

const folder = mkdtempSync(join(tmpdir(), 'portcullis-config-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

function written(text: string): string {
  const file = join(folder, 'p.yaml')
  writeFileSync(file, text)
  return file
}

const text = `bus: { url: 'kafka://k:9092', tls: true, ca: ca.pem, username: u, password: 'env:PC_TEST_UNSET' }
audit: { url: 'https://ch:8443', password: 'file:audit.secret' }
identity:
  own: { key: 'file:tls.key' }
  issuers: [{ issuer: 'https://idp.example', audience: [portcullis], ca: idp.pem }]
geo: { country: nogeo.mmdb }
targets:
  - name: shop
    protocol: postgres
    address: 127.0.0.1:5432
    tls: { ca: noca.pem }
    credentials: { user: 'env:PC_TEST_UNSET', password: 'env:PC_TEST_UNSET' }
    roles:
      report: { groups: [a], credentials: { user: plain, password: 'file:role.secret' } }
    groups: [agents]
    labels: { stage: 'env:PC_TEST_UNSET' }
proxy:
  tls: { cert: tls.crt, key: 'file:tls.key' }
  recorder: { onUnavailable: deny }
analyzer: { health: '0.0.0.0:9101' }
alerts:
  slack: { webhook: 'env:PC_TEST_UNSET' }
  pagerduty: { routingKey: 'env:PC_TEST_UNSET' }
  webhook: { url: 'https://hook.example', secret: 'env:PC_TEST_UNSET' }
api:
  tokens:
    - { name: ops, role: admin, token: 'file:api.secret' }
people:
  publicUrl: https://gate.example
  key: file:people.secret
  oidc:
    - { name: corp, issuer: 'https://idp.example', clientId: a, clientSecret: 'env:PC_TEST_UNSET' }
  saml:
    - { name: old, idp: { metadataFile: idp.xml, certificates: [no.pem] }, decryption: [{ key: 'env:PC_TEST_UNSET', cert: own.pem }] }
`

test('every secret and file that is not here is named with its line, and so are addresses that two services share', () => {
  const file = written(text)
  const { config, missing } = loadConfigHere(file)
  assert.equal(config.proxy.tls?.key, `file:${join(folder, 'tls.key')}`)
  assert.equal(config.targets[0]?.roles.report?.credentials.password, `file:${join(folder, 'role.secret')}`)
  assert.deepEqual(
    missing.map((line) => line.replace(`${file}:`, '').split(': ').slice(0, 2).join(' ')),
    [
      '1:42 bus.ca',
      '1:67 bus.password',
      '2:34 audit.password',
      '4:10 identity.own.key',
      '5:70 identity.issuers.0.ca',
      '6:8 geo.country',
      '11:12 targets.0.tls.ca',
      '12:20 targets.0.credentials.user',
      '12:47 targets.0.credentials.password',
      '14:58 targets.0.roles.report.credentials.password',
      '18:10 proxy.tls.cert',
      '18:25 proxy.tls.key',
      '20:13 analyzer.health',
      '22:12 alerts.slack.webhook',
      '23:16 alerts.pagerduty.routingKey',
      '24:43 alerts.webhook.secret',
      '27:33 api.tokens.0.token',
      '30:3 people.key',
      '32:65 people.oidc.0.clientSecret',
      '34:27 people.saml.0.idp.metadataFile',
      '34:65 people.saml.0.idp.certificates.0',
      '34:91 people.saml.0.decryption.0.key',
      '34:117 people.saml.0.decryption.0.cert',
    ],
  )
  const told = (key: string) => missing.find((line) => line.includes(` ${key}: `))
  assert.match(told('bus.password') ?? '', /: env:PC_TEST_UNSET: the environment variable is not set$/)
  assert.match(told('geo.country') ?? '', /nogeo\.mmdb: there is no such file$/)
  assert.match(told('api.tokens.0.token') ?? '', /api\.secret: there is no such file$/)
  assert.match(told('analyzer.health') ?? '', /0\.0\.0\.0:9101 is the address of proxy\.health already/)
})

test('an API token that is too short is a mistake wherever it runs, and is not shown', () => {
  writeFileSync(join(folder, 'api.secret'), 'hunter2\n')
  assert.throws(
    () => loadConfigHere(written(text)),
    (error) => {
      assert.ok(error instanceof ConfigError)
      assert.match(error.message, /:27:\d+: api\.tokens\.0\.token: .*must have at least 16 characters/)
      assert.doesNotMatch(error.message, /hunter2/)
      return true
    },
  )
  rmSync(join(folder, 'api.secret'))
})

test('a key for masks that is none is a mistake, and is not shown', () => {
  const key = join(folder, 'mask.key')
  const config = written(`${text}masking: { key: 'file:${key}' }\n`)
  writeFileSync(key, 'hunter2\n')
  assert.throws(() => loadConfigHere(config), /masking\.key: (?!.*hunter2).*must be 32 bytes.*openssl rand/)
  writeFileSync(key, `${'0f'.repeat(32)}\n`)
  assert.doesNotMatch(loadConfigHere(config).missing.join('\n'), /masking/)
})

test('what seals sign-ins must be long enough', () => {
  writeFileSync(join(folder, 'people.secret'), 'x'.repeat(31))
  assert.throws(() => loadConfigHere(written(text)), /people\.key: .*must have at least 32 characters/)
  rmSync(join(folder, 'people.secret'))
})

test("what seals the signing keys must be long enough, and the SSH authority's key must be one", () => {
  const given = `${text}ssh: { ca: file:ssh-ca.pem, certificates: [{ groups: [a], principals: [deploy] }] }\n`
  const own = join(folder, 'tls.key')
  const authority = join(folder, 'ssh-ca.pem')
  const pem = (type: 'ed25519' | 'x25519') =>
    (type === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('x25519')).privateKey.export({
      type: 'pkcs8',
      format: 'pem',
    })
  writeFileSync(own, 'x'.repeat(42))
  for (const bad of ['canary', pem('x25519')]) {
    writeFileSync(authority, bad)
    assert.throws(
      () => loadConfigHere(written(given)),
      (error) => {
        assert.ok(error instanceof ConfigError)
        assert.match(error.message, /:4:\d+: identity\.own\.key: .*must have at least 43 characters/)
        assert.match(error.message, /:35:\d+: ssh\.ca: .*must hold an Ed25519 private key as PEM/)
        assert.doesNotMatch(error.message, /canary|PRIVATE KEY/)
        return true
      },
    )
  }
  writeFileSync(own, 'x'.repeat(43))
  writeFileSync(authority, pem('ed25519'))
  const { missing } = loadConfigHere(written(given))
  assert.doesNotMatch(missing.join('\n'), /ssh\.ca|own\.key/)
  rmSync(own)
  rmSync(authority)
})
