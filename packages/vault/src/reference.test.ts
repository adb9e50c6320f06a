import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigError, parseConfig } from '@portcullis/config'
import { isReference, VaultError } from './index.ts'
import { parseReference } from './reference.ts'

const good = [
  'env:SHOP_PASSWORD',
  'file:/run/secrets/shop',
  'vault:secret/data/shop#password',
  'vault:team-a/kv/data/shop/eu.west#pass-word',
  'vault:database/creds/app@eu#username',
  'aws-sm:prod/shop',
  'aws-sm:prod/shop#password',
  'aws-sm:arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop-AbCdEf#password',
  'k8s:shop/db-credentials#password',
  'k8s:shop/db.credentials#tls.key',
  'sealed:shop-db.password',
]
const bad = [
  'hunter2',
  'env:',
  'env:A B',
  'file:',
  'vault:secret/data/shop',
  'vault:secret#x',
  'vault:/secret/data/shop#x',
  'vault:secret/../sys/seal#x',
  'vault:secret/data/shop?version=1#x',
  'vault:secret/data/%2e%2e#x',
  'vault:secret/data/shop#a b',
  'aws-sm:',
  'aws-sm:shop#',
  'k8s:shop#password',
  'k8s:Shop/db#password',
  'k8s:shop/../db#password',
  'k8s:shop/db',
  'sealed:',
  'sealed:Shop',
  'sealed:a/b',
  'sealed:shop#x',
  'toString:x',
]

/** What the configuration makes of it as a password; its sources are all there. */
function configured(reference: string): string {
  const text = `
bus: lmdb:./bus
audit: embedded:./audit
identity: { issuers: [{ issuer: https://idp.example, audience: [portcullis] }] }
secrets:
  vault: { address: https://vault.example, auth: { token: env:T } }
  aws: { region: eu-west-1 }
  kubernetes: {}
  sealing: { keys: [{ id: one, key: env:K }] }
targets:
  - name: shop
    protocol: postgres
    address: 127.0.0.1:5432
    credentials: { user: ${JSON.stringify(reference)}, password: ${JSON.stringify(reference)} }
    groups: [agents]
proxy: { recorder: { onUnavailable: deny } }
`
  try {
    return parseConfig(text, '/p.yaml').targets[0]?.credentials.password ?? ''
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return `refused: ${error.message}`
  }
}

test('what is a reference, here and in the configuration alike', () => {
  for (const reference of good) {
    assert.equal(parseReference(reference).text, reference)
    assert.ok(isReference(reference))
    assert.equal(configured(reference), reference)
  }
  for (const reference of bad) {
    assert.throws(() => parseReference(reference), VaultError, reference)
    assert.ok(!isReference(reference), reference)
    assert.match(configured(reference), /^refused: .*targets\.0\.credentials\.password: must be/s, reference)
  }
})

test('a path and its field are told apart', () => {
  const { kind, path, field } = parseReference('vault:secret/data/shop#password')
  assert.deepEqual({ kind, path, field }, { kind: 'vault', path: 'secret/data/shop', field: 'password' })
  assert.equal(parseReference('aws-sm:prod/shop').field, '')
})

test('what is no reference is not repeated: it may be the secret itself', () => {
  for (const text of ['hunter2', 'vault:hunter2'])
    assert.throws(
      () => parseReference(text),
      (error: Error) => !error.message.includes('hunter2'),
    )
})
