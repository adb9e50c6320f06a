import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigError, parseConfig } from './index.ts'

/** From line 5 on: `secrets`, then the credentials of a target on line 10 as each test gives them. */
function configuration(secrets: string, credentials: string): string {
  return `bus: lmdb:./bus
audit: embedded:./audit
identity: { issuers: [{ issuer: 'https://idp.example', audience: [portcullis] }] }
proxy: { recorder: { onUnavailable: deny } }
secrets: { ${secrets} }
targets:
  - name: shop
    protocol: postgres
    address: 127.0.0.1:5432
    credentials: { ${credentials} }
    roles: { report: { groups: [a], credentials: { user: plain } } }
    groups: [agents]
`
}

function problemsOf(secrets: string, credentials = 'user: app'): string[] {
  try {
    parseConfig(configuration(secrets, credentials), '/etc/p.yaml')
    return []
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return error.problems.map((line) => line.replace('/etc/p.yaml:', ''))
  }
}

const sealing = 'sealing: { keys: [{ id: one, key: env:K }] }'
const vault = 'vault: { address: https://vault.example, auth: { token: env:T } }'

test('every kind of reference serves for the credentials of a target, with its source', () => {
  const all = `${vault}, aws: { region: eu-west-1 }, kubernetes: {}, ${sealing}`
  for (const reference of [
    'env:A',
    'file:/a',
    'vault:secret/data/shop#password',
    'aws-sm:prod/shop#p',
    'k8s:a/b#c',
    'sealed:shop-db',
  ])
    assert.deepEqual(problemsOf(all, `user: '${reference}', password: '${reference}'`), [])
})

test('a reference without its source is reported at its own line', () => {
  const credentials = "user: 'aws-sm:prod/shop#user', password: 'vault:secret/data/shop#password'"
  assert.deepEqual(problemsOf('cacheSec: 5', credentials), [
    '10:20: targets.0.credentials.user: aws-sm:prod/shop#user: needs secrets.aws',
    '10:51: targets.0.credentials.password: vault:secret/data/shop#password: needs secrets.vault',
  ])
})

test('a password that is lent needs the user that it is lent with', () => {
  const password = "password: 'vault:database/creds/app#password'"
  assert.deepEqual(problemsOf(vault, `user: 'vault:database/creds/app#username', ${password}`), [])
  for (const user of ['app', "'vault:database/creds/other#username'"])
    assert.match(
      problemsOf(vault, `user: ${user}, ${password}`)[0] ?? '',
      /^10:20: targets\.0\.credentials\.user: vault:database\/creds\/app#password: is lent together with its user/,
    )
})

test('a slip of the pen is no user name', () => {
  for (const user of ['vault:secret/data/shop', 'env:', 'k8s:shop#password', 'sealed:x y'])
    assert.match(
      problemsOf(vault, `user: '${user}'`)[0] ?? '',
      /^10:20: targets\.0\.credentials\.user: must be a reference/,
    )
})

test('elsewhere only env: and file: serve, and that is said', () => {
  const [problem] = problemsOf(
    "vault: { address: https://v.example, auth: { token: 'vault:secret/data/a#b' } }",
  )
  assert.match(problem ?? '', /^5:\d+: secrets\.vault\.auth\.token: must be env:NAME or file:PATH here/)
})

test('one way to log in, one kind of credentials, and nothing in clear over a network', () => {
  const auth = (ways: string) => `vault: { address: https://v.example, auth: { ${ways} } }`
  const two = 'token: env:T, jwt: { role: r, token: env:J }'
  for (const ways of ['', two])
    assert.match(problemsOf(auth(ways))[0] ?? '', /^5:\d+: secrets\.vault\.auth: needs one of/)
  assert.match(
    problemsOf('vault: { address: https://v.example, atuh: {} }').join('\n'),
    /secrets\.vault\.atuh: unknown key/,
  )
  assert.match(problemsOf(vault.replace('https', 'http'))[0] ?? '', /secrets\.vault\.address: must be https/)
  const aws = `aws: { region: eu-west-1, credentials: { accessKeyId: env:A, secretAccessKey: env:B }, webIdentity: { roleArn: 'arn:x', tokenFile: /t } }`
  assert.match(problemsOf(aws)[0] ?? '', /^5:\d+: secrets\.aws\.webIdentity: goes without credentials/)
})

test('paths are relative to the file, also those of sources', () => {
  const jwt =
    "vault: { address: https://v.example, ca: ca.pem, auth: { jwt: { role: r, token: 'file:jwt' } } }"
  const { secrets } = parseConfig(configuration(jwt, 'user: app'), '/etc/p.yaml')
  assert.equal(secrets.vault?.ca, '/etc/ca.pem')
  assert.equal(secrets.vault?.auth.jwt?.token, 'file:/etc/jwt')
  assert.deepEqual([secrets.cacheSec, secrets.staleSec, secrets.timeoutMs], [60, 3600, 3000])
})

test('one way of sealing, with what it needs', () => {
  assert.deepEqual(problemsOf(sealing), [])
  assert.deepEqual(problemsOf(`${vault}, sealing: { transit: { key: gate } }`), [])
  assert.match(problemsOf('sealing: {}')[0] ?? '', /secrets\.sealing: needs one of keys, transit and kms/)
  assert.match(
    problemsOf('sealing: { transit: { key: gate } }')[0] ?? '',
    /secrets\.sealing\.transit: needs secrets\.vault/,
  )
  assert.match(problemsOf('sealing: { kms: { key: k } }')[0] ?? '', /sealing\.kms: needs secrets\.aws/)
  assert.match(
    problemsOf('sealing: { keys: [{ id: a, key: env:K }, { id: a, key: env:L }] }')[0] ?? '',
    /sealing\.keys\.1\.id: "a" is the id of another key/,
  )
  assert.match(problemsOf('cacheSec: 5', "user: 'sealed:db'")[0] ?? '', /needs secrets\.sealing/)
})
