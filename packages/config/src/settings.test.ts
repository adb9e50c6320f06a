import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkIssuer, checkTarget, createSettingsReader, parseConfig } from './index.ts'

const config = parseConfig(
  `bus: lmdb:./bus
audit: embedded:./audit
identity: { issuers: [{ issuer: 'https://idp.example', audience: [portcullis] }] }
secrets: { sealing: { keys: [{ id: one, key: env:K }] } }
targets: []
proxy: { recorder: { onUnavailable: deny } }
`,
  '/etc/p.yaml',
)
const shop = {
  protocol: 'postgres',
  address: 'db:5432',
  credentials: { user: 'app', password: 'sealed:shop-db' },
  groups: ['agents'],
}
const pem = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'

const targetProblems = (given: unknown, name = 'shop') =>
  (checkTarget(name, given, config).problems ?? []).map(
    ({ path, message }) => `${path.map(String).join('.')}: ${message}`,
  )
const issuerProblems = (url: string, given: unknown) =>
  (checkIssuer(url, given, config).problems ?? []).map(
    ({ path, message }) => `${path.map(String).join('.')}: ${message}`,
  )

test('a target by the API is one of the file: the same defaults, the name out of the address', () => {
  const { value } = checkTarget('shop', shop, config)
  assert.equal(value?.name, 'shop')
  assert.equal(value?.tls.mode, 'prefer')
  assert.equal(value?.connectTimeoutMs, 5000)
  assert.ok(checkTarget('shop', { ...shop, name: 'shop' }, config).value)
  assert.ok(checkTarget('shop', { ...shop, tls: { mode: 'verify-full', ca: pem } }, config).value)
})

test('a group may be that of one issuer', () => {
  const issuer = 'https://idp.example'
  assert.deepEqual(targetProblems({ ...shop, groups: ['agents', { issuer, group: 'ops' }] }), [])
  for (const wrong of [{ issuer }, { group: 'ops' }, { issuer, group: 'ops', more: 1 }, 7])
    assert.match(targetProblems({ ...shop, groups: [wrong] }).join(), /^groups\.0/)
})

test('every mistake is named with its place, all at once', () => {
  const wrong = {
    ...{ ...shop, name: 'other', address: 'db', adress: 'x' },
    ...{ credentials: { user: 'app', password: 'hunter2' }, tls: { mode: 'sometimes', cert: '/a' } },
  }
  const found = targetProblems(wrong)
  for (const place of ['name', 'address', 'adress', 'credentials.password', 'tls.mode', 'tls'])
    assert.ok(
      found.some((line) => line.startsWith(`${place}: `)),
      `${place} in ${found.join('\n')}`,
    )
  assert.ok(!found.join().includes('hunter2'))
  assert.deepEqual(targetProblems('text'), [': Invalid input: expected object, received string'])
  assert.deepEqual(targetProblems({ ...shop, groups: undefined }), ['groups: is required'])
})

test('what only a machine knows is not for the API to name: no variable, no file', () => {
  const local = {
    ...{ ...shop, credentials: { user: 'env:USER', password: 'file:/etc/shadow' } },
    ...{ roles: { r: { groups: ['a'], credentials: { user: 'u', password: 'env:PORTCULLIS_KEY' } } } },
    tls: { mode: 'require', ca: '/dev/zero', cert: pem, key: '/etc/key.pem' },
  }
  assert.deepEqual(
    targetProblems(local).map((line) => line.slice(0, line.indexOf(': must'))),
    [
      ...['tls.ca', 'tls.cert', 'tls.key', 'credentials.user', 'credentials.password'],
      'roles.r.credentials.password',
    ],
  )
  assert.deepEqual(
    issuerProblems('https://ci.example', { audience: ['p'], jwksToken: 'file:/x', ca: '/x' }).map((line) =>
      line.slice(0, line.indexOf(':')),
    ),
    ['jwksToken', 'ca'],
  )
})

test('a reference needs its source, as in the file', () => {
  const credentials = { user: 'app', password: 'vault:secret/data/shop#password' }
  assert.deepEqual(targetProblems({ ...shop, credentials }), [
    'credentials.password: vault:secret/data/shop#password: needs secrets.vault',
  ])
})

test('an issuer by the API is held to what holds for the file', () => {
  assert.ok(checkIssuer('https://ci.example', { audience: ['p'] }, config).value)
  assert.match(
    issuerProblems('https://gitlab.com', { audience: ['p'] })[0] ?? '',
    /^requiredClaims: must pin one of project_id/,
  )
  assert.match(
    issuerProblems('https://ci.example', { audience: ['p'], conditions: ['claims.'] })[0] ?? '',
    /^conditions\.0: /,
  )
  assert.match(issuerProblems('http://ci.example', { audience: ['p'] })[0] ?? '', /^issuer: must be https/)
  assert.deepEqual(issuerProblems('http://127.0.0.1:8080', { audience: ['p'] }), [
    "issuer: is the issuer of Portcullis' own tokens",
  ])
})

test('what does not pass is told, once, and what stood before goes on to stand', () => {
  const refused: string[] = []
  const read = createSettingsReader(config, (what, problems) => refused.push(`${what}: ${problems.join()}`))
  const stored = (...targets: [string, object][]) => ({
    targets: targets.map(([id, value]) => ({ id, json: JSON.stringify(value) })),
    issuers: [],
  })
  const first = read(stored(['shop', shop], ['bad', { ...shop, protocol: 'telepathy' }]))
  assert.deepEqual(
    first.targets.map(({ name }) => name),
    ['shop'],
  )
  assert.match(refused.join('\n'), /^target bad: protocol: [^\n]+$/)
  const second = read(stored(['shop', { ...shop, newer: true }], ['bad', { ...shop, protocol: 'telepathy' }]))
  assert.equal(second.targets[0], first.targets[0])
  assert.equal(refused.length, 2)
  assert.match(refused[1] ?? '', /^target shop: newer: unknown key/)
  assert.deepEqual(read(stored()).targets, [])
})
