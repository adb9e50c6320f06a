import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkTarget, parseConfig } from './index.ts'

const configWith = (allow: string) =>
  parseConfig(
    `bus: lmdb:./bus
audit: embedded:./audit
identity: { issuers: [{ issuer: 'https://idp.example', audience: [portcullis] }] }
secrets:
  vault: { address: 'https://vault.example', auth: { token: env:T } }
  kubernetes: {}
  api: { allow: ${allow} }
targets: []
proxy: { recorder: { onUnavailable: deny } }
`,
    '/etc/p.yaml',
  )
const at = (address: string | string[], password: string, role = password) => ({
  ...{ protocol: 'postgres', address, groups: ['agents'], credentials: { user: 'app', password } },
  roles: { report: { groups: ['agents'], credentials: { user: 'r', password: role } } },
})
const problems = (allow: string, target: object) =>
  (checkTarget('shop', target, configWith(allow)).problems ?? []).map(
    ({ path, message }) => `${path.map(String).join('.')}: ${message}`,
  )
const shop = 'vault:secret/data/shop#password'

test('a target of the API signs in with nothing from elsewhere that the file does not allow', () => {
  const found = problems('[]', at('db:5432', shop))
  assert.equal(found.length, 2)
  assert.match(found[0] ?? '', /^credentials\.password: secrets\.api\.allow .* has no such reference/)
  assert.match(found[1] ?? '', /^roles\.report\.credentials\.password: /)
})

test('and only at the addresses that are allowed for it, all of its hosts', () => {
  const allow = `[{ references: 'vault:secret/data/shop', addresses: ['db:5432', 'db-2:5432'] }]`
  assert.deepEqual(problems(allow, at('db:5432', shop)), [])
  assert.deepEqual(problems(allow, at(['db:5432', 'db-2:5432'], shop)), [])
  for (const address of ['evil:5432', 'db:5433', ['db:5432', 'evil:5432']])
    assert.match(problems(allow, at(address, shop))[0] ?? '', /for other addresses only/, String(address))
})

test('what is allowed is whole names, or what begins with a whole one', () => {
  const [lone, all] = [`'vault:secret/data/shop'`, `'vault:secret/data/'`].map(
    (references) => `[{ references: ${references}, addresses: ['*'] }]`,
  )
  assert.ok(lone && all)
  for (const path of ['shop#password', 'shop/eu#password'])
    assert.deepEqual(problems(lone, at('db:1', `vault:secret/data/${path}`)), [], path)
  for (const path of ['vault:secret/data/shop-admin#p', 'vault:secret/data/shopping/x#p', 'k8s:shop/db#p'])
    assert.equal(problems(lone, at('db:1', path)).length, 2, path)
  assert.deepEqual(problems(all, at('db:1', 'vault:secret/data/shop-admin#p')), [])
  assert.throws(() => configWith(`[{ references: 'env:A', addresses: ['*'] }]`), /must begin with vault:/)
  assert.throws(() => configWith(`[{ references: 'vault:', addresses: ['db'] }]`), /must be HOST:PORT/)
})
