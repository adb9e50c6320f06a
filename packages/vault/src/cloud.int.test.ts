/** AWS and Kubernetes by the stand-ins of testkit, and `sealed:` out of a map. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Started, systemClock } from '@portcullis/kernel'
import { type CloudStandIn, startCloudStandIn } from '@portcullis/testkit/cloud-stand-in'
import {
  createKms,
  createLocalKeys,
  createSealed,
  createSealer,
  createSources,
  createVault,
  Secret,
  type Sealed,
  type SourceSettings,
} from './index.ts'
import { createAws } from './sources/aws.ts'
import { readLocal } from './sources/local.ts'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-cloud-'))
const log = { info: () => undefined, warn: () => undefined }
const times = { cacheMs: 60_000, staleMs: 60_000, clock: systemClock, log }
let cloud: Started<CloudStandIn>

before(async () => {
  cloud = await startCloudStandIn()
})
after(async () => {
  await cloud?.stop()
  rmSync(dir, { recursive: true })
})

function open(settings: Omit<SourceSettings, 'timeoutMs'>) {
  return createVault({ ...times, sources: createSources({ timeoutMs: 1000, ...settings }, systemClock) })
    .value
}

test('AWS Secrets Manager: whole texts and fields, signed so that another implementation agrees', async () => {
  const { value } = cloud
  value.keys.set('AKIATEST', { secret: 'aws/secret+key', session: '' })
  process.env.PC_TEST_AWS_ID = 'AKIATEST'
  process.env.PC_TEST_AWS_KEY = 'aws/secret+key'
  const credentials = { accessKeyId: 'env:PC_TEST_AWS_ID', secretAccessKey: 'env:PC_TEST_AWS_KEY' }
  const vault = open({ aws: { region: 'eu-west-1', endpoint: value.url, credentials } })
  value.awsSecrets.set('prod/shop', JSON.stringify({ username: 'app', password: 'canary-aws', port: 5432 }))
  value.awsSecrets.set('plain', 'canary, not JSON')
  assert.equal((await vault.resolve('aws-sm:prod/shop#password')).reveal(), 'canary-aws')
  assert.equal((await vault.resolve('aws-sm:prod/shop#port')).reveal(), '5432')
  assert.equal((await vault.resolve('aws-sm:plain')).reveal(), 'canary, not JSON')
  await assert.rejects(vault.resolve('aws-sm:plain#password'), { code: 'not_found' })
  await assert.rejects(vault.resolve('aws-sm:none'), { code: 'not_found' })
  assert.deepEqual(value.refused, [])
  process.env.PC_TEST_AWS_KEY = 'canary-wrong'
  await assert.rejects(
    vault.resolve('aws-sm:other'),
    (error: Error) =>
      /does not let the gate read it \(InvalidSignature/.test(error.message) &&
      !/canary/.test(error.stack ?? ''),
  )
  assert.deepEqual(value.refused, ['wrong signature'])
})

test('AWS by web identity: one exchange for many reads, and a clear word where there are no credentials', async () => {
  const { value } = cloud
  const tokenFile = join(dir, 'web-token')
  writeFileSync(tokenFile, 'canary-web-token')
  value.webTokens.add('canary-web-token')
  value.awsSecrets.set('prod/web', 'canary-web')
  const webIdentity = {
    roleArn: 'arn:aws:iam::123456789012:role/gate',
    tokenFile,
    stsEndpoint: `${value.url}/sts`,
  }
  const vault = open({ aws: { region: 'eu-west-1', endpoint: value.url, webIdentity } })
  const names = ['prod/web', 'prod/web', 'plain']
  await Promise.all(names.map((name) => vault.resolve(`aws-sm:${name}`)))
  assert.equal((await vault.resolve('aws-sm:prod/web')).reveal(), 'canary-web')
  assert.equal(value.asked.filter((action) => action === 'AssumeRoleWithWebIdentity').length, 1)
  writeFileSync(tokenFile, 'canary-bad-token')
  const refused = open({ aws: { region: 'eu-west-1', endpoint: value.url, webIdentity } })
  await assert.rejects(refused.resolve('aws-sm:prod/web'), { code: 'denied' })
  const none = open({ aws: { region: 'eu-west-1', endpoint: value.url } })
  await assert.rejects(none.resolve('aws-sm:prod/web'), /the gate has no credentials for AWS/)
})

test('AWS KMS wraps data keys, bound to where the secret belongs', async () => {
  const { value } = cloud
  process.env.PC_TEST_AWS_KEY = 'aws/secret+key'
  const credentials = { accessKeyId: 'env:PC_TEST_AWS_ID', secretAccessKey: 'env:PC_TEST_AWS_KEY' }
  const settings = { region: 'eu-west-1', endpoint: value.url, credentials, timeoutMs: 1000 }
  const sealer = createSealer(
    createKms('alias/portcullis', createAws(settings, { clock: systemClock, readLocal })),
  )
  const context = { aggregateId: 'target:shop', name: 'password', version: 1 }
  const sealed = await sealer.seal(new Secret('canary'), context)
  assert.equal((await sealer.open(sealed, context)).reveal(), 'canary')
  await assert.rejects(sealer.open(sealed, { ...context, name: 'other' }), { code: 'unsealable' })
})

test('a Secret of Kubernetes, by a token that the kubelet may rotate', async () => {
  const { value } = cloud
  const tokenFile = join(dir, 'sa-token')
  writeFileSync(tokenFile, 'first')
  value.k8sTokens.add('first')
  value.k8sSecrets.set('shop/db', { password: 'canary-k8s', 'tls.key': 'pem' })
  const vault = open({ kubernetes: { server: value.url, tokenFile, ca: '' } })
  assert.equal((await vault.resolve('k8s:shop/db#password')).reveal(), 'canary-k8s')
  value.k8sTokens.delete('first')
  value.k8sSecrets.set('shop/two', { password: 'canary-two' })
  await assert.rejects(vault.resolve('k8s:shop/two#password'), { code: 'denied' })
  writeFileSync(tokenFile, 'second')
  value.k8sTokens.add('second')
  await new Promise((resolve) => setTimeout(resolve, 600))
  assert.equal((await vault.resolve('k8s:shop/two#password')).reveal(), 'canary-two')
  await assert.rejects(vault.resolve('k8s:shop/none#password'), { code: 'not_found' })
})

test('sealed: opens what the control log has under that name, and nothing that was put there from elsewhere', async () => {
  process.env.PC_TEST_MASTER = Buffer.alloc(32, 5).toString('base64')
  const sealer = createSealer(createLocalKeys([{ id: 'k', key: 'env:PC_TEST_MASTER' }], readLocal))
  const context = { aggregateId: 'target:shop', name: 'shop-password', version: 1 }
  const sealed = await sealer.seal(new Secret('canary'), context)
  const log = new Map<string, Sealed>([
    ['shop-password', { ...context, sealed }],
    ['stolen', { ...context, sealed }],
  ])
  const { value: vault } = createVault({ ...times, sources: { sealed: createSealed(log, sealer) } })
  assert.equal((await vault.resolve('sealed:shop-password')).reveal(), 'canary')
  await assert.rejects(vault.resolve('sealed:stolen'), { code: 'unsealable' })
  await assert.rejects(vault.resolve('sealed:none'), { code: 'not_found' })
})
