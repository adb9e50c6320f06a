/** What a provider truly signed, and is still not for this sign-in: a real answer, changed and signed again by its key. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { resign, unsigned } from '@portcullis/testkit/saml-attacks'
import type { SignInErrorCode } from './index.ts'
import {
  acsUrl,
  answerOf,
  finish,
  idpPair,
  refused,
  signInAt,
  startIdp,
  withXml,
  xmlOf,
} from './saml-bed.fixture.ts'

const idp = await startIdp()
after(() => idp.stop())
const signIn = signInAt(idp.value.metadataUrl)

async function signedAgain(edit: (assertion: string) => string) {
  const arrived = await answerOf(signIn)
  const xml = unsigned(xmlOf(arrived))
  const changed = xml.replace(/<saml:Assertion[\s\S]*<\/saml:Assertion>/, edit)
  const id = /<saml:Assertion[^>]* ID="([^"]+)"/.exec(changed)?.[1] ?? ''
  return { changed: changed !== xml, answer: withXml(arrived, resign(changed, id, idpPair)) }
}

test('signed again and not changed, it is taken', async () => {
  await finish(signIn, (await signedAgain((xml) => xml)).answer)
})

const without = (name: string) => (xml: string) =>
  xml.replace(new RegExp(`<saml:${name}[ >][\\s\\S]*</saml:${name}>`), '')
const set = (name: string, value: string) => (xml: string) =>
  xml.replace(new RegExp(` ${name}="[^"]*"`), ` ${name}="${value}"`)
const drop = (name: string) => (xml: string) => xml.replace(new RegExp(` ${name}="[^"]*"`), '')
const inside = (element: string, edit: (xml: string) => string) => (xml: string) =>
  xml.replace(new RegExp(`<saml:${element}[ >][^>]*>`), edit)
const past = '2020-01-01T00:00:00.000Z'
const future = '2099-01-01T00:00:00.000Z'

const changes: [string, (xml: string) => string, SignInErrorCode | readonly SignInErrorCode[]][] = [
  ['another issuer', (xml) => xml.replace(/<saml:Issuer>[^<]*/, '<saml:Issuer>urn:evil'), 'wrong_issuer'],
  ['no issuer', without('Issuer'), 'structure'],
  ['another recipient', set('Recipient', `${acsUrl}/`), 'wrong_recipient'],
  ['no recipient', drop('Recipient'), 'wrong_recipient'],
  ['another request, in the confirmation alone', set('InResponseTo', '_other'), 'wrong_request'],
  ['no request, in the confirmation alone', drop('InResponseTo'), 'wrong_request'],
  ['a confirmation that is over', inside('SubjectConfirmationData', set('NotOnOrAfter', past)), 'expired'],
  ['a confirmation without an end', inside('SubjectConfirmationData', drop('NotOnOrAfter')), 'malformed'],
  ['conditions that are over', inside('Conditions', set('NotOnOrAfter', past)), 'expired'],
  ['conditions that are to come', inside('Conditions', set('NotBefore', future)), 'not_yet_valid'],
  [
    'issued long ago, with conditions for ever',
    (xml) => set('IssueInstant', past)(xml).replaceAll(/ NotOnOrAfter="[^"]*"/g, ` NotOnOrAfter="${future}"`),
    'expired',
  ],
  ['issued in the future', set('IssueInstant', future), 'not_yet_valid'],
  ['a time zone', inside('Conditions', set('NotOnOrAfter', '2099-01-01T00:00:00+14:00')), 'malformed'],
  ['no time at all', inside('Conditions', set('NotOnOrAfter', 'never')), 'malformed'],
  ['no conditions', without('Conditions'), 'structure'],
  ['no audience', without('AudienceRestriction'), 'wrong_audience'],
  [
    'another audience',
    (xml) => xml.replace(/<saml:Audience>[^<]*/, '<saml:Audience>urn:other'),
    'wrong_audience',
  ],
  [
    'a second restriction to another audience',
    (xml) =>
      xml.replace(
        '</saml:AudienceRestriction>',
        '</saml:AudienceRestriction><saml:AudienceRestriction><saml:Audience>urn:other</saml:Audience></saml:AudienceRestriction>',
      ),
    'wrong_audience',
  ],
  [
    'a condition that nobody knows',
    (xml) => xml.replace('</saml:Conditions>', '<saml:Condition/></saml:Conditions>'),
    'structure',
  ],
  ['a holder-of-key confirmation', (xml) => xml.replace('cm:bearer', 'cm:holder-of-key'), 'structure'],
  [
    'two bearer confirmations',
    (xml) => xml.replace(/<saml:SubjectConfirmation [\s\S]*<\/saml:SubjectConfirmation>/, (one) => one + one),
    'structure',
  ],
  ['no subject', without('Subject'), 'structure'],
  ['two names', (xml) => xml.replace(/<saml:NameID[\s\S]*<\/saml:NameID>/, (one) => one + one), 'structure'],
  [
    'an empty name',
    (xml) => xml.replace('>alice@corp.example</saml:NameID>', '></saml:NameID>'),
    'claim_invalid',
  ],
  [
    'a name with characters that do not show',
    (xml) => xml.replace('>alice@', '>ali&#x200B;ce@'),
    'claim_invalid',
  ],
  ['nobody signed in', without('AuthnStatement'), 'structure'],
  [
    'a session that is over',
    (xml) => xml.replace('<saml:AuthnStatement ', `<saml:AuthnStatement SessionNotOnOrAfter="${past}" `),
    'expired',
  ],
  ['another version', set('Version', '1.1'), 'malformed'],
]
for (const [name, edit, code] of changes) {
  test(`refused: ${name}`, async () => {
    const { changed, answer } = await signedAgain(edit)
    assert.ok(changed, 'the edit changes something')
    await refused(finish(signIn, answer), code)
  })
}

test('the end of the session at the provider is passed on', async () => {
  const { answer } = await signedAgain((xml) =>
    xml.replace('<saml:AuthnStatement ', `<saml:AuthnStatement SessionNotOnOrAfter="${future}" `),
  )
  assert.equal((await finish(signIn, answer)).person.sessionEndsUs, Date.parse(future) * 1000)
})

test('a friendly name of one attribute does not take the name of another', async () => {
  const { answer } = await signedAgain((xml) =>
    xml.replace(
      '</saml:AttributeStatement>',
      '<saml:Attribute Name="urn:x" FriendlyName="groups"><saml:AttributeValue>admins</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>',
    ),
  )
  assert.deepEqual((await finish(signIn, answer)).person.groups, ['sre', 'on call'])
})

test('a list of groups that the provider cut off is not taken for none', async () => {
  const cut = (xml: string) =>
    xml
      .replace(/<saml:Attribute [^>]*Name="groups"[\s\S]*?<\/saml:Attribute>/, '')
      .replace(
        '</saml:AttributeStatement>',
        '<saml:Attribute Name="http://schemas.microsoft.com/claims/groups.link"><saml:AttributeValue>https://graph.example</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>',
      )
  await refused(finish(signIn, (await signedAgain(cut)).answer), 'claim_missing')
})

test('attributes that are required, and a subject by attribute', async () => {
  const by = (config: Parameters<typeof signInAt>[1] & object) => signInAt(idp.value.metadataUrl, config)
  const strict = by({ config: { requiredAttributes: { groups: ['admins'] } } })
  await refused(finish(strict, await answerOf(strict)), 'not_allowed')
  const named = by({
    config: { subjectAttribute: 'email', requiredAttributes: { groups: ['admins', 'sre'] } },
  })
  assert.equal((await finish(named, await answerOf(named))).person.subject, 'alice@corp.example')
  for (const subjectAttribute of ['groups', 'none']) {
    const odd = by({ config: { subjectAttribute } })
    await refused(finish(odd, await answerOf(odd)), 'claim_missing')
  }
})
