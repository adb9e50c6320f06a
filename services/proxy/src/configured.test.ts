import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseConfig } from '@portcullis/config'
import { noSettings } from '@portcullis/config/api-settings'
import { IdentityError } from '@portcullis/identity'
import { createConfigured } from './configured.ts'

const config = parseConfig(
  `bus: lmdb:./bus
audit: embedded:./audit
identity: { issuers: [{ issuer: 'https://idp.example', audience: [portcullis] }] }
targets:
  - { name: shop, protocol: postgres, address: 'file:1', credentials: { user: app }, groups: [agents] }
secrets: { sealing: { keys: [{ id: one, key: env:K }] } }
proxy: { recorder: { onUnavailable: deny } }
`,
  '/etc/portcullis/p.yaml',
)
const [fromFile] = config.targets
const [issuerOfFile] = config.identity.issuers
assert.ok(fromFile && issuerOfFile)
const byApi = (name: string, address = 'api:1') => ({ ...fromFile, name, address })
const ann = {
  ...{ issuer: 'https://idp.example', subject: 'ann', groups: ['agents'], instance: 'ann-1' },
  ...{ delegation: [], task: '', ancestors: [] },
}

function start() {
  const trusted: string[][] = []
  const logged: string[] = []
  const configured = createConfigured({
    config,
    vault: { borrow: async () => ({ secrets: [], renew: async () => false, release: () => undefined }) },
    addressesOf: (name) => ({ 'for-api': ['api:1'], 'for-file': [] })[name],
    verifier: {
      replace(issuers) {
        const isBad = ({ issuer }: { issuer: string }) => issuer === 'https://bad.example'
        const good = issuers.filter((one) => !isBad(one))
        trusted.push(good.map(({ issuer, audience }) => `${issuer} ${audience.join()}`))
        return issuers.filter(isBad).map(({ issuer }) => new IdentityError('config', issuer))
      },
      warmUp: async () => undefined,
    },
    log: { info: (_, message) => logged.push(message), error: (_, message) => logged.push(message) },
  })
  const hostOf = async (target: string) => {
    const request = { target, role: '', database: '', protocol: 'postgres' }
    const authorised = await configured.targets.authorise(ann, request)
    return authorised.allowed ? `${authorised.access.hosts[0]?.host} ${authorised.version}` : authorised.why
  }
  return { configured, hostOf, trusted, logged }
}

test('targets come and go while it runs, and each change is another version', async () => {
  const { configured, hostOf } = start()
  const versions = [configured.targets.version]
  for (const targets of [[byApi('orders')], [byApi('orders', 'api-2:1')], []]) {
    configured.replace({ ...noSettings, targets })
    versions.push(configured.targets.version)
  }
  assert.equal(new Set(versions).size, 3)
  assert.equal(versions[3], versions[0])
  configured.replace({ ...noSettings, targets: [byApi('orders')] })
  assert.equal(await hostOf('orders'), `api ${versions[1]}`)
  configured.replace(noSettings)
  assert.equal(await hostOf('orders'), 'there is no postgres target "orders"')
})

test('a sealed secret goes to the addresses it was put for, and where the file says', async () => {
  const { configured, hostOf } = start()
  const signingIn = (name: string, secret: string, address?: string) => ({
    ...{ ...byApi(name, address), credentials: { user: 'app', password: `sealed:${secret}` } },
  })
  const told = /cannot sign in at target .*: sealed:for-[a-z]+: it was put for other addresses/
  for (const [secret, address, expected] of [
    ['for-api', 'api:1', /^api /],
    ['for-api', 'evil:1', told],
    ['for-file', 'api:1', told],
    ['before-they-were-bound', 'evil:1', /^evil /],
  ] as const) {
    configured.replace({ ...noSettings, targets: [signingIn('orders', secret, address)] })
    assert.match(await hostOf('orders'), expected, `${secret} ${address}`)
  }
  const user = { ...byApi('orders', 'evil:1'), credentials: { user: 'sealed:for-api' } }
  configured.replace({ ...noSettings, targets: [user] })
  assert.match(await hostOf('orders'), told)
  configured.replace({ ...noSettings, targets: [signingIn('shop', 'for-file')] })
  assert.match(await hostOf('shop'), /^file /)
})

test("what the file names is the file's", async () => {
  const { configured, hostOf, trusted } = start()
  const issuer = { ...issuerOfFile, audience: ['everybody'] }
  configured.replace({
    targets: [byApi('shop'), byApi('orders')],
    issuers: [issuer, { ...issuer, issuer: 'https://ci.example' }],
  })
  assert.match(await hostOf('shop'), /^file /)
  assert.match(await hostOf('orders'), /^api /)
  assert.deepEqual(trusted, [['https://idp.example portcullis', 'https://ci.example everybody']])
})

test('an issuer that cannot be served is told, and keeps no other change back', async () => {
  const { configured, hostOf, trusted, logged } = start()
  const issuer = (url: string) => ({ ...issuerOfFile, issuer: url })
  configured.replace({ targets: [byApi('orders')], issuers: [issuer('https://ci.example')] })
  configured.replace({ targets: [byApi('billing')], issuers: [issuer('https://bad.example')] })
  assert.match(await hostOf('orders'), /^there is no/)
  assert.match(await hostOf('billing'), /^api /)
  assert.deepEqual(trusted.at(-1), ['https://idp.example portcullis'])
  assert.match(logged.join('\n'), /an issuer cannot be served/)
})
