/** Sign-in with a real SAML provider: what is signed, encrypted, asked for by redirect or post, and rolled over. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { systemClock } from '@portcullis/kernel'
import { createBrowser, formOf } from '@portcullis/testkit/browser'
import { makeRsaCertificate } from '@portcullis/testkit/certificates'
import { createUsedOnce } from './index.ts'
import {
  acsUrl,
  answerOf,
  entityId,
  finish,
  idpPair,
  own,
  refused,
  type Setting,
  type SignInSetting,
  signInAt,
  startIdp,
  withXml,
  xmlOf,
} from './saml-bed.fixture.ts'

type Idp = Awaited<ReturnType<typeof startIdp>>
const started: Idp[] = []
const start = async (setting: Setting = {}) => {
  const idp = await startIdp(setting)
  started.push(idp)
  return idp.value
}
after(() => Promise.all(started.map((idp) => idp.stop())))

let plain: Idp['value']
before(async () => {
  plain = await start()
})

/** What the provider signs; what we want signed; what we say to it. */
const good: [string, Setting, SignInSetting['config']][] = [
  ['a signed assertion', {}, {}],
  ['a signed response', { signAssertion: false, signResponse: true }, { signed: 'response' }],
  ['either, the response', { signAssertion: false, signResponse: true }, { signed: 'either' }],
  ['both', { signResponse: true }, { signed: 'both' }],
  [
    'an encrypted signed assertion',
    { encryptFor: own.certificate },
    { decryption: [own], mustEncrypt: true },
  ],
  [
    'an encrypted one in a signed response',
    { encryptFor: own.certificate, signAssertion: false, signResponse: true },
    { decryption: [own], signed: 'response' },
  ],
  [
    'an encrypted one, both signed',
    { encryptFor: own.certificate, signResponse: true },
    { decryption: [own], signed: 'both' },
  ],
  [
    'encrypted with AES-CBC',
    { encryptFor: own.certificate, encryptionAlgorithm: 'http://www.w3.org/2001/04/xmlenc#aes256-cbc' },
    { decryption: [own] },
  ],
  ['a signed request by redirect', { requestsSignedBy: own.certificate }, { signing: own }],
  [
    'a signed request by post',
    { requestsSignedBy: own.certificate },
    { signing: own, requestBinding: 'post' },
  ],
  [
    'a request by post',
    {},
    {
      requestBinding: 'post',
      forceAuthn: true,
      authnContexts: ['urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport'],
    },
  ],
]
for (const [name, setting, config] of good) {
  test(`accepted: ${name}`, async () => {
    const idp = await start(setting)
    const signIn = signInAt(idp.metadataUrl, { config: config ?? {} })
    const { person, returnTo } = await finish(signIn, await answerOf(signIn, 'alice@corp.example', '/live'))
    assert.ok(Math.abs((person.authTimeUs ?? 0) - systemClock.nowUs()) < 60e6)
    assert.deepEqual(
      { ...person, authTimeUs: 0 },
      {
        issuer: idp.entityId,
        subject: 'alice@corp.example',
        name: 'Alice Ä. <&> "O\'Neil"',
        email: 'alice@corp.example',
        groups: ['sre', 'on call'],
        authTimeUs: 0,
        acr: 'urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport',
        amr: [],
        sessionEndsUs: undefined,
      },
    )
    assert.equal(returnTo, '/live')
  })
}

/** A provider that does less than is configured. */
const tooLittle: [string, Setting, SignInSetting['config'], Parameters<typeof refused>[1]][] = [
  ['nothing signed', { signAssertion: false }, { signed: 'either' }, 'unsigned'],
  ['the response alone', { signAssertion: false, signResponse: true }, {}, 'unsigned'],
  ['the assertion alone', {}, { signed: 'both' }, 'unsigned'],
  ['the assertion and not the response', {}, { signed: 'response' }, 'unsigned'],
  [
    'encrypted and not signed',
    { signAssertion: false, encryptFor: own.certificate },
    { decryption: [own] },
    'unsigned',
  ],
  ['not encrypted', {}, { decryption: [own], mustEncrypt: true }, 'unsigned'],
  ['signed with SHA-1', { weakSignatures: true }, {}, 'algorithm'],
  [
    'signed by another key',
    { pair: makeRsaCertificate('other') },
    { idp: { certificates: [idpPair.certPem] } },
    'bad_signature',
  ],
  [
    'encrypted for another key',
    { encryptFor: makeRsaCertificate('x').certPem },
    { decryption: [own] },
    'decryption',
  ],
  ['encrypted, and we have no key', { encryptFor: own.certificate }, {}, 'decryption'],
  [
    'encrypted with triple DES',
    { encryptFor: own.certificate, encryptionAlgorithm: 'http://www.w3.org/2001/04/xmlenc#tripledes-cbc' },
    { decryption: [own] },
    'algorithm',
  ],
  [
    'a transient name',
    { nameIdFormat: 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient' },
    {},
    'claim_invalid',
  ],
]
for (const [name, setting, config, code] of tooLittle) {
  test(`refused: ${name}`, async () => {
    const idp = await start(setting)
    const pinned = config?.idp && {
      idp: { ...config.idp, entityId: idp.entityId, redirectUrl: `${idp.entityId}/sso` },
    }
    const signIn = signInAt(idp.metadataUrl, { config: { ...config, ...pinned } })
    await refused(finish(signIn, await answerOf(signIn)), code)
  })
}

test('the provider refuses a request that is not signed as it wants: ours are truly signed', async () => {
  const idp = await start({ requestsSignedBy: own.certificate })
  const stranger = makeRsaCertificate('stranger')
  const signing = { key: stranger.keyPem, certificate: stranger.certPem }
  for (const config of [{}, { signing }, { signing, requestBinding: 'post' as const }])
    await assert.rejects(answerOf(signInAt(idp.metadataUrl, { config })), /MUST be signed|[Ss]ignature/)
})

test('an answer is for one browser and one use', async () => {
  const used = createUsedOnce(systemClock)
  const signIn = signInAt(plain.metadataUrl, { used })
  const mine = await answerOf(signIn)
  const theirs = await answerOf(signIn)
  await refused(signIn.finish('corp', { kind: 'form', ...mine }, undefined), 'unsolicited')
  await refused(finish(signIn, { ...mine, transaction: theirs.transaction }), 'mismatch')
  await refused(finish(signIn, { ...mine, relayState: '' }), 'mismatch')
  // Login forgery: the attacker's answer, with the state of my browser.
  await refused(finish(signIn, { ...mine, samlResponse: theirs.samlResponse }), 'wrong_request')
  await refused(finish(signInAt(plain.metadataUrl), mine), 'transaction_invalid')
  await finish(signIn, mine)
  await refused(finish(signIn, mine), 'replayed')
})

test('two replicas that share the memory take one assertion once; a memory that is full or away takes none', async () => {
  const key = Buffer.alloc(32, 7)
  const used = createUsedOnce(systemClock)
  const [one, two] = [signInAt(plain.metadataUrl, { used, key }), signInAt(plain.metadataUrl, { used, key })]
  const answer = await answerOf(one)
  const results = await Promise.allSettled([finish(one, answer), finish(two, answer)])
  assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  const full = signInAt(plain.metadataUrl, { used: createUsedOnce(systemClock, 0) })
  await refused(finish(full, await answerOf(full)), 'replay_memory')
})

test('out of its time', async () => {
  let offsetSec = 0
  const clock = { nowUs: () => systemClock.nowUs() + offsetSec * 1e6 }
  const signIn = signInAt(plain.metadataUrl, { clock, config: { leewaySec: 30 } })
  const answer = await answerOf(signIn)
  offsetSec = 331
  await refused(finish(signIn, answer), 'expired')
  offsetSec = -45
  await refused(finish(signIn, answer), 'not_yet_valid')
  offsetSec = 325
  await finish(signIn, answer)
  offsetSec = 0
  const strict = signInAt(plain.metadataUrl, { clock, config: { maxAgeSec: 10, leewaySec: 0 } })
  const late = await answerOf(strict)
  offsetSec = 15
  await refused(finish(strict, late), 'too_weak')
})

test('for someone else: audience, recipient and destination, issuer', async () => {
  const elsewhere = signInAt(plain.metadataUrl, { config: { entityId: 'urn:somebody:else' } })
  // The provider answers to the audience that asked; an answer for us is not one for another.
  const ours = signInAt(plain.metadataUrl, { key: Buffer.alloc(32, 7) })
  const answer = await answerOf(ours)
  const other = signInAt(plain.metadataUrl, {
    key: Buffer.alloc(32, 7),
    config: { entityId: 'urn:somebody:else' },
  })
  await refused(finish(other, answer), 'wrong_audience')
  await finish(elsewhere, await answerOf(elsewhere))
  const moved = withXml(answer, xmlOf(answer).replace(`Destination="${acsUrl}"`, `Destination="${acsUrl}/"`))
  assert.notEqual(moved.samlResponse, answer.samlResponse)
  await refused(finish(ours, moved), 'wrong_destination')
  const renamed = signInAt(plain.metadataUrl, {
    config: {
      idp: { entityId: 'urn:other', certificates: [idpPair.certPem], redirectUrl: `${plain.entityId}/sso` },
    },
  })
  await refused(finish(renamed, await answerOf(renamed)), 'wrong_issuer')
})

test('what the provider begins is refused, unless configured, and then answers no request', async () => {
  const idp = await start({ audience: entityId })
  const page = await createBrowser().post(`${idp.entityId}/sso`, { login: 'alice@corp.example' })
  const samlResponse = formOf(page).fields.SAMLResponse ?? ''
  const unasked = { kind: 'form', samlResponse, relayState: 'https://evil.example/' } as const
  await refused(signInAt(idp.metadataUrl).finish('corp', unasked, undefined), 'unsolicited')
  const signIn = signInAt(idp.metadataUrl, { config: { idpInitiated: true } })
  const asked = await answerOf(signIn)
  await refused(signIn.finish('corp', { ...unasked, ...asked }, undefined), 'wrong_request')
  // A cookie of an abandoned sign-in is in nobody's way; where to go is never the provider's to say.
  const { person, returnTo } = await signIn.finish('corp', unasked, asked.transaction)
  assert.deepEqual([person.subject, returnTo], ['alice@corp.example', '/'])
  await refused(signIn.finish('corp', unasked, undefined), 'replayed')
  await finish(signIn, asked)
})

test("certificates are rolled over: the new one beside the old, by settings and by the provider's metadata", async () => {
  const next = makeRsaCertificate('next')
  const idp = await start({ pair: next })
  const by = (...certificates: string[]) =>
    signInAt(idp.metadataUrl, {
      config: { idp: { entityId: idp.entityId, redirectUrl: `${idp.entityId}/sso`, certificates } },
    })
  const both = by(idpPair.certPem, next.certPem)
  await finish(both, await answerOf(both))
  const old = by(idpPair.certPem)
  await refused(finish(old, await answerOf(old)), 'bad_signature')
})

test('metadata that are away are a clear error; those known serve on for a day', async () => {
  let offsetSec = 0
  const clock = { nowUs: () => systemClock.nowUs() + offsetSec * 1e6 }
  const idp = await startIdp()
  const signIn = signInAt(idp.value.metadataUrl, { clock })
  await signIn.begin('corp', '/')
  await idp.stop()
  offsetSec = 24 * 3600
  await signIn.begin('corp', '/')
  offsetSec = 26 * 3600
  await refused(signIn.begin('corp', '/'), 'provider_unavailable')
  await refused(signInAt('http://127.0.0.1:1/metadata').begin('corp', '/'), 'provider_unavailable')
})

test('our metadata name us, our address and our keys, and no private one', async () => {
  const signIn = signInAt(plain.metadataUrl, { config: { signing: own, decryption: [own] } })
  const xml = signIn.metadata('corp')
  assert.ok(xml.includes(`entityID="${entityId}"`) && xml.includes(`Location="${acsUrl}"`))
  assert.match(xml, /AuthnRequestsSigned="true" WantAssertionsSigned="true"/)
  assert.equal(xml.split('<ds:X509Certificate>').length, 3)
  assert.ok(!xml.includes('PRIVATE'))
})

test('settings that cannot be served safely are refused at the start', () => {
  const config = (more: SignInSetting['config']) => () => signInAt(plain.metadataUrl, { config: more ?? {} })
  const weak = makeRsaCertificate('weak', 1024)
  const wrong: SignInSetting['config'][] = [
    { mustEncrypt: true },
    { signing: { key: own.key, certificate: idpPair.certPem } },
    { decryption: [{ key: own.key, certificate: idpPair.certPem }] },
    { signing: { key: weak.keyPem, certificate: weak.certPem } },
    { idp: { metadataUrl: 'http://idp.example/metadata' } },
    { idp: { entityId: 'urn:x', certificates: [weak.certPem] } },
    { idp: { entityId: 'urn:x', certificates: ['no'] } },
    { idp: { entityId: 'urn:x' } },
    { idp: { entityId: 'urn:a|b', certificates: [idpPair.certPem] } },
    { idp: { metadata: '<a/>' } },
  ]
  for (const one of wrong) assert.throws(config(one), { code: 'config' }, JSON.stringify(one))
})
