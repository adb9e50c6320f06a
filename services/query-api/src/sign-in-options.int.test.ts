/** A configuration as it is written, and a sign-in with real providers by nothing else. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ConfigError, parseConfig } from '@portcullis/config'
import { createSignIn, rolesOf } from '@portcullis/identity/people'
import { systemClock } from '@portcullis/kernel'
import { createBrowser, formOf } from '@portcullis/testkit/browser'
import { makeRsaCertificate } from '@portcullis/testkit/certificates'
import { startOidcProvider } from '@portcullis/testkit/oidc-idp'
import { startSamlProvider } from '@portcullis/testkit/saml-idp'
import { signInOptionsOf } from './sign-in-options.ts'

const publicUrl = 'http://127.0.0.1:1'
const folder = mkdtempSync(join(tmpdir(), 'portcullis-people-'))
const keep = (name: string, content: string) => writeFileSync(join(folder, name), content)

const configured = (people: string, change = (text: string) => text) =>
  parseConfig(
    change(`
bus: lmdb:./bus
audit: embedded:./audit
identity:
  issuers: [{ issuer: 'https://idp.example', audience: [portcullis] }]
  own: { key: 'env:OWN_KEY' }
targets:
  - { name: shop, protocol: postgres, address: '127.0.0.1:5432', groups: ['*'], credentials: { user: app } }
proxy: { recorder: { onUnavailable: deny } }
api: { roles: { sre: responder, leads: approver } }
${people}`),
    join(folder, 'portcullis.yaml'),
  )

test('people sign in by both kinds of provider as the file says, and get the roles of their groups', async () => {
  const own = makeRsaCertificate('Portcullis')
  const people = { alice: { name: 'Alice', groups: ['sre', 'leads', 'x'] } }
  const callback = (name: string) => `${publicUrl}/sign-in/${name}/callback`
  const oidc = await startOidcProvider({
    people,
    clientId: 'gate',
    clientSecret: 'secret of the client',
    redirectUris: [callback('corp')],
  })
  const saml = await startSamlProvider({
    acsUrl: `${publicUrl}/sign-in/old/acs`,
    people: { 'alice@old.example': { memberOf: ['cn=sec'], displayName: 'Alice' } },
    signAssertion: true,
    signResponse: true,
    encryptFor: own.certPem,
    requestsSignedBy: own.certPem,
  })
  try {
    keep('client.secret', 'secret of the client\n')
    keep('own.pem', own.certPem)
    keep('own.key', own.keyPem)
    const built = signInOptionsOf(
      configured(`
people:
  publicUrl: ${publicUrl}
  oidc:
    - { name: corp, issuer: '${oidc.value.issuer}', clientId: gate, clientSecret: 'file:${folder}/client.secret' }
  saml:
    - name: old
      title: Old directory
      idp: { metadataUrl: '${saml.value.metadataUrl}' }
      signed: both
      signing: { key: 'file:${folder}/own.key', cert: own.pem }
      decryption: [{ key: 'file:${folder}/own.key', cert: own.pem }]
      mustEncrypt: true
      groupsAttribute: memberOf
      roles: { cn=sec: admin }
`),
    )
    assert.ok(built)
    const signIn = createSignIn({ ...built.options, key: randomBytes(32), clock: systemClock })
    assert.deepEqual(signIn.providers, [
      { name: 'corp', title: 'corp', kind: 'oidc' },
      { name: 'old', title: 'Old directory', kind: 'saml' },
    ])
    const browser = createBrowser()
    const begun = await signIn.begin('corp', '/live')
    const page = await browser.follow(await browser.get(begun.url), callback('corp'))
    assert.ok(typeof page !== 'string')
    const url = await browser.follow(
      await browser.post(formOf(page).action, { login: 'alice' }),
      callback('corp'),
    )
    assert.ok(typeof url === 'string')
    const first = await signIn.finish('corp', { kind: 'query', url }, begun.transaction)
    assert.deepEqual(first.person.groups, ['sre', 'leads', 'x'])
    // Whatever their groups give everybody.
    assert.deepEqual([built.roles.has('corp'), built.roles.get('corp')], [true, undefined])

    const asked = await signIn.begin('old', '/')
    const form = formOf(await browser.get(asked.url))
    const { fields } = formOf(await browser.post(form.action, { ...form.fields, login: 'alice@old.example' }))
    const answer = { samlResponse: fields.SAMLResponse ?? '', relayState: fields.RelayState }
    const second = await signIn.finish('old', { kind: 'form', ...answer }, asked.transaction)
    assert.equal(second.person.subject, 'alice@old.example')
    assert.deepEqual(rolesOf(second.person.groups, built.roles.get('old') ?? {}), ['admin'])
    // A group of the one provider is none of the other's.
    assert.deepEqual(rolesOf(['sre'], built.roles.get('old') ?? {}), [])
  } finally {
    await Promise.all([oidc.stop(), saml.stop()])
  }
})

test('nobody signs in where nothing says how', () => {
  assert.equal(signInOptionsOf(configured('')), undefined)
})

test('each mistake in the section is reported with its line', () => {
  const problems = (people: string, change?: (text: string) => string): string[] => {
    try {
      configured(people, change)
    } catch (error) {
      assert.ok(error instanceof ConfigError)
      return error.problems.map((line) => line.replace(/^.*portcullis.yaml:(\d+):\d+: /, '$1 '))
    }
    return []
  }
  const found = problems(`people:
  publicUrl: https://gate.example/console
  key: hunter2
  oidc:
    - { name: Corp, issuer: 'http://idp.example', clientId: a, algorithms: [HS256] }
    - { name: two, issuer: 'https://idp.example', clientId: a, clientSecret: plain, roles: { a: boss } }
    - { name: three, issuer: 'https://idp.example', clientId: a, parameters: { redirect_uri: x }, secret: x }
  saml:
    - { name: two, idp: {} }
    - { name: four, idp: { metadataUrl: 'http://idp.example/m' }, signed: none }
`)
  assert.deepEqual(
    found.map((line) => line.split(': ')[0]),
    [
      '12 people.publicUrl',
      '13 people.key',
      '15 people.oidc.0.name',
      '15 people.oidc.0.issuer',
      '15 people.oidc.0.algorithms.0',
      '16 people.oidc.1.clientSecret',
      '16 people.oidc.1.roles.a',
      '17 people.oidc.2.parameters',
      '17 people.oidc.2.secret',
      '19 people.saml.0.name',
      '19 people.saml.0.idp',
      '20 people.saml.1.idp.metadataUrl',
      '20 people.saml.1.signed',
    ],
  )
  assert.ok(!found.join().includes('hunter2'))
  assert.match(problems(`people: { publicUrl: 'https://gate.example' }`)[0] ?? '', /people: needs a provider/)
  const provider = `{ name: corp, issuer: 'https://idp.example', clientId: a }`
  const keyless = `people: { publicUrl: 'https://gate.example', oidc: [${provider}] }`
  const without = (text: string) => text.replace(/^ *own: .*$/m, '')
  assert.match(problems(keyless, without)[0] ?? '', /people: needs identity.own.key/)
})
