/**
 * Attacks on the SAML door, each made out of a real provider's real answer. Where an attack is good against a careless
 * service provider, that is shown first: a test of a refusal proves nothing if the message was broken to begin with.
 */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { makeRsaCertificate } from '@portcullis/testkit/certificates'
import { naiveSubjects, resign, signatureWrappings, unsigned } from '@portcullis/testkit/saml-attacks'
import { sentenceFor, type SignInErrorCode } from './index.ts'
import {
  type Arrived,
  answerOf,
  finish,
  idpPair,
  own,
  refused,
  signInAt,
  startIdp,
  withXml,
  xmlOf,
} from './saml-bed.fixture.ts'

const evil = 'root@evil.test'
const byAssertion = await startIdp()
const byResponse = await startIdp({ signAssertion: false, signResponse: true })
const encrypted = await startIdp({ encryptFor: own.certificate })
after(() => Promise.all([byAssertion.stop(), byResponse.stop(), encrypted.stop()]))

const strict = signInAt(byAssertion.value.metadataUrl)
const either = signInAt(byResponse.value.metadataUrl, { config: { signed: 'either' } })
const hidden = signInAt(encrypted.value.metadataUrl, { config: { decryption: [own] } })

/** A fresh answer, changed. */
async function attack(
  edit: (xml: string) => string,
  code: SignInErrorCode | readonly SignInErrorCode[],
  at = strict,
) {
  const arrived = await answerOf(at)
  const xml = edit(xmlOf(arrived))
  assert.notEqual(xml, xmlOf(arrived), 'the attack changes something')
  return refused(finish(at, withXml(arrived, xml)), code)
}

const assertionId = (xml: string) => /<saml:Assertion[^>]* ID="([^"]+)"/.exec(xml)?.[1] ?? ''

test('all eight forms of signature wrapping', async () => {
  const arrived: Record<'assertion' | 'response', Arrived> = {
    assertion: await answerOf(strict),
    response: await answerOf(either),
  }
  const attacks = signatureWrappings(xmlOf(arrived.response), xmlOf(arrived.assertion), evil)
  assert.equal(attacks.length, 8)
  for (const { name, xml } of attacks) {
    const subjects = naiveSubjects(xml, idpPair.certPem)
    assert.ok(subjects.includes(evil), `${name}: good against a careless reader, who sees ${subjects}`)
    const isOfResponse = /^XSW[12]/.test(name)
    const of = isOfResponse ? arrived.response : arrived.assertion
    await refused(finish(isOfResponse ? either : strict, withXml(of, xml)), 'structure')
  }
  // What they were made of is good as it is.
  await finish(strict, arrived.assertion)
  await finish(either, arrived.response)
})

test('the same, with the IDs kept: two elements of one ID', async () => {
  const [response, assertion] = [await answerOf(either), await answerOf(strict)]
  const id = assertionId(xmlOf(assertion))
  for (const { name, xml } of signatureWrappings(xmlOf(response), xmlOf(assertion), evil)) {
    if (/^XSW[12]/.test(name)) continue
    await refused(finish(strict, withXml(assertion, xml.replace('ID="_forged"', `ID="${id}"`))), 'structure')
  }
})

test('a comment in the NameID, and the other ways in which a text is cut or hidden', async () => {
  const inName = (piece: string) => (xml: string) =>
    xml.replace('alice@corp.example</saml:NameID>', `ali${piece}ce@corp.example</saml:NameID>`)
  const commented = xmlOf(await answerOf(strict)).replace(
    'alice@corp.example</saml:NameID>',
    'alice<!---->@corp.example</saml:NameID>',
  )
  assert.notDeepEqual(naiveSubjects(commented, idpPair.certPem), [], 'a comment leaves the signature good')
  for (const piece of ['<!---->', '<!-- x -->', '<![CDATA[]]>', '<?x y?>', '<x/>'])
    await attack(inName(piece), piece === '<x/>' ? 'bad_signature' : 'forbidden_xml')
  await attack((xml) => `<!-- x -->${xml}`, 'forbidden_xml')
})

test('document types and entity bombs end before any parser', async () => {
  const lol = Array.from({ length: 30 }, (_, n) => `<!ENTITY l${n + 1} "${`&l${n};`.repeat(10)}">`).join('')
  const prologues = [
    '<!DOCTYPE samlp:Response>',
    `<!DOCTYPE r [<!ENTITY l0 "lol">${lol}]>`,
    '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    '<!DOCTYPE r SYSTEM "http://127.0.0.1:1/x.dtd">',
    '<!DOCTYPE r [<!ATTLIST saml:Assertion ID ID #IMPLIED>]>',
    '<?xml-stylesheet href="x"?>',
  ]
  for (const prologue of prologues) {
    const start = process.hrtime.bigint()
    await attack((xml) => prologue + xml, 'forbidden_xml')
    assert.ok(process.hrtime.bigint() - start < 3_000_000_000n)
  }
  await attack((xml) => xml.replace('alice@', '&x;alice@'), 'forbidden_xml')
  await attack((xml) => `<?xml version="1.0" encoding="UTF-7"?>${xml}`, 'forbidden_xml')
})

test('what is not signed, or not by whom it should be', async () => {
  const stranger = makeRsaCertificate('Test SAML provider')
  await attack(unsigned, 'unsigned')
  await attack(unsigned, 'unsigned', either)
  await attack((xml) => xml.replace('>sre<', '>admins<'), 'bad_signature')
  await attack(
    (xml) => xml.replace('>alice@corp.example</saml:NameID>', `>${evil}</saml:NameID>`),
    'bad_signature',
  )
  // Signed anew by a stranger, whose certificate stands in KeyInfo.
  await attack((xml) => resign(unsigned(xml), assertionId(xml), stranger), 'bad_signature')
  // A signed response must not lend its signature to a changed one.
  await attack(
    (xml) => xml.replace('InResponseTo="', 'InResponseTo="_x'),
    ['bad_signature', 'wrong_request'],
    either,
  )
  // A good assertion in a response whose own signature is bad.
  await attack(
    (xml) => resign(xml, /<samlp:Response[^>]* ID="([^"]+)"/.exec(xml)?.[1] ?? '', stranger),
    'bad_signature',
  )
})

test('methods that are weak, or another kind of key', async () => {
  const again = (methods: object) => (xml: string) =>
    resign(unsigned(xml), assertionId(xml), idpPair, methods)
  const good = await answerOf(strict)
  await finish(strict, withXml(good, again({})(xmlOf(good))))
  await attack(again({ signature: 'http://www.w3.org/2000/09/xmldsig#rsa-sha1' }), 'algorithm')
  await attack(again({ digest: 'http://www.w3.org/2000/09/xmldsig#sha1' }), 'algorithm')
  await attack(
    again({ canonicalization: 'http://www.w3.org/2001/10/xml-exc-c14n#WithComments' }),
    'algorithm',
  )
  await attack(again({ canonicalization: 'http://www.w3.org/TR/2001/REC-xml-c14n-20010315' }), 'algorithm')
  // HMAC with the certificate as the secret.
  await attack(
    (xml) =>
      xml.replace(
        'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
        'http://www.w3.org/2000/09/xmldsig#hmac-sha1',
      ),
    'algorithm',
  )
})

test('signatures of another shape', async () => {
  const value = /<DigestValue>[^<]+<\/DigestValue>/
  await attack((xml) => xml.replace(value, (one) => one + one), 'structure')
  await attack((xml) => xml.replace(/<SignedInfo>[\s\S]*<\/SignedInfo>/, (one) => one + one), 'structure')
  await attack((xml) => xml.replace(/<Reference [\s\S]*<\/Reference>/, (one) => one + one), 'structure')
  await attack((xml) => xml.replace(/<Reference URI="[^"]+"/, '<Reference URI=""'), 'structure')
  await attack((xml) => xml.replace(/<Reference URI="#[^"]+"/, `<Reference URI="#x' or '1'='1"`), 'structure')
  await attack(
    (xml) => xml.replace(/<Transform Algorithm="[^"]*enveloped-signature" ?\/>/, (one) => one + one),
    'algorithm',
  )
  await attack(
    (xml) =>
      xml.replace(
        /<Transform Algorithm="http:\/\/www.w3.org\/2001\/10\/xml-exc-c14n#" ?\/>/,
        '<Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"><x/></Transform>',
      ),
    'algorithm',
  )
  await attack((xml) => xml.replace(/<Signature [\s\S]*<\/Signature>/, (one) => one + one), 'structure')
  await attack((xml) => xml.replace('</Signature>', '<Object/></Signature>'), 'structure')
})

test('messages that are none', async () => {
  const arrived = await answerOf(strict)
  const raw = (samlResponse: string) => finish(strict, { ...arrived, samlResponse })
  await refused(raw(''), 'malformed')
  await refused(raw('%%%'), 'malformed')
  await refused(raw(Buffer.from([0xff, 0xfe, 0x3c]).toString('base64')), 'malformed')
  await refused(raw('A'.repeat(524_292)), 'too_large')
  const xml = (text: string) => finish(strict, withXml(arrived, text))
  await refused(xml('<a/>'), 'structure')
  await refused(xml(`${'<a>'.repeat(1000)}${'</a>'.repeat(1000)}`), 'too_large')
  await refused(xml(`<a>${'<b/>'.repeat(6000)}</a>`), 'too_large')
  await refused(xml(`<a ${Array.from({ length: 70 }, (_, n) => `a${n}=""`).join(' ')}/>`), 'too_large')
  await refused(xml(xmlOf(arrived).slice(0, -5)), 'malformed')
  await refused(xml(xmlOf(arrived) + xmlOf(arrived)), 'malformed')
  await refused(xml(xmlOf(arrived).replace('<samlp:Response', '<samlp:Response ID="x"')), 'malformed')
  await refused(xml(xmlOf(arrived).replaceAll('samlp:Response', 'samlp:LogoutResponse')), 'structure')
  await attack((text) => text.replaceAll('Version="2.0"', 'Version="1.1"'), 'malformed')
  await attack((text) => text.replace('status:Success', 'status:Requester'), 'provider_refused')
})

test('an encrypted assertion that was touched: one refusal for every reason', async () => {
  const touch = (at: number) => (xml: string) =>
    xml.replace(
      /(<e:CipherValue>|<xenc:CipherValue>)([^<]+)(?=<\/(?:e|xenc):CipherValue>)/g,
      (_, tag, value) => {
        const bytes = Buffer.from(value, 'base64')
        const index = at < 0 ? bytes.length + at : at
        bytes[index] = (bytes[index] ?? 0) ^ 1
        return tag + bytes.toString('base64')
      },
    )
  const errors = []
  for (const at of [0, 16, -1, -17]) errors.push(await attack(touch(at), 'decryption', hidden))
  assert.equal(new Set(errors.map(({ message }) => message)).size, 1)
  assert.equal(sentenceFor('decryption'), sentenceFor('bad_signature'))
  await attack((xml) => xml.replaceAll('rsa-oaep-mgf1p', 'rsa-1_5'), 'algorithm', hidden)
})
