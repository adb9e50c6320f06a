import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseConfig } from '@portcullis/config'
import { systemClock } from '@portcullis/kernel'
import { createTargetBook, readTls } from './targets.ts'
import { createProxyVault, sealedOf } from './vault.ts'

const config = parseConfig(
  `bus: lmdb:./bus
audit: embedded:./audit
identity: { issuers: [{ issuer: 'https://idp.example', audience: [portcullis] }] }
targets:
  - name: shop
    protocol: postgres
    address: 127.0.0.1:1
    credentials: { user: app, password: 'env:PC_TEST_UNSET' }
    groups: [agents]
proxy: { recorder: { onUnavailable: deny } }
`,
  '/etc/portcullis/p.yaml',
)

const log = { info: () => undefined, warn: () => undefined }
const { value: vault } = createProxyVault(config, systemClock, log, sealedOf([]))

function identityIn(groups: string[]) {
  return {
    issuer: 'https://idp.example',
    subject: 'ann',
    groups,
    delegation: [],
    instance: 'ann-1',
    task: '',
    ancestors: [],
  }
}

test('several hosts, and a certificate that is rotated while the gate runs', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-targets-'))
  const cert = join(dir, 'gate.crt')
  writeFileSync(cert, 'first')
  const [target] = config.targets
  assert.ok(target)
  const book = createTargetBook(
    {
      targets: [
        {
          ...target,
          address: ['db-1:5432', '[::1]:5433'],
          credentials: { user: 'app' },
          tls: { mode: 'verify-full', cert },
        },
      ],
      issuers: [],
    },
    vault,
  )
  const access = async () => {
    const authorised = await book.authorise(identityIn(['agents']), {
      target: 'shop',
      role: '',
      database: '',
      protocol: 'postgres',
    })
    assert.ok(authorised.allowed)
    return authorised.access
  }
  assert.deepEqual((await access()).hosts, [
    { host: 'db-1', port: 5432 },
    { host: '::1', port: 5433 },
  ])
  assert.equal((await access()).tls.cert, 'first')
  writeFileSync(cert, 'second')
  assert.equal((await access()).tls.cert, 'second')
  rmSync(dir, { recursive: true })
  assert.throws(() => readTls({ tls: { mode: 'require', cert } }), /ENOENT/)
})

test("where the gate's own password is missing, who may connect hears that it is not them; nobody else does", async () => {
  const book = createTargetBook({ targets: config.targets, issuers: config.identity.issuers }, vault)
  const request = { target: 'shop', role: '', database: '', protocol: 'postgres' }
  const own = await book.authorise(identityIn(['agents']), request)
  assert.ok(!own.allowed)
  assert.equal(own.told, 'the gate cannot sign in at target "shop"')
  assert.match(own.why, /env:PC_TEST_UNSET: the environment variable is not set/)
  const stranger = await book.authorise(identityIn(['sales']), request)
  assert.ok(!stranger.allowed)
  assert.equal(stranger.told, undefined)
})
