/**
 * A search for forms of signature wrapping that nobody has numbered: elements of a real signed answer are copied, moved,
 * replaced and renamed at random, some copies saying what an attacker wants. Whatever is accepted must say what was signed.
 */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { after, test } from 'node:test'
import { DOMParser, XMLSerializer } from '@xmldom/xmldom'
import fc from 'fast-check'
import { SignInError } from './index.ts'
import { everyElement } from './saml-names.ts'
import { readResponse } from './saml-response.ts'
import { answerOf, idpPair, type Setting, signInAt, startIdp, xmlOf } from './saml-bed.fixture.ts'

const idps = await Promise.all(
  [{ signAssertion: true }, { signAssertion: false, signResponse: true }, { signResponse: true }].map(
    (setting: Setting) => startIdp(setting),
  ),
)
after(() => Promise.all(idps.map((idp) => idp.stop())))
const messages = await Promise.all(
  idps.map(async ({ value }) => xmlOf(await answerOf(signInAt(value.metadataUrl)))),
)
const keys = {
  signing: [new X509Certificate(idpPair.certPem).publicKey],
  decryption: [],
  signed: 'either' as const,
  mustEncrypt: false,
}

const read = (xml: string) => readResponse(Buffer.from(xml).toString('base64'), keys).assertion
const said = (xml: string) => everyElement(read(xml)).map(({ name, text }) => `${name}=${text}`)
const originals = messages.map(said)

type Step = {
  at: number
  to: number
  how: 'into' | 'before' | 'replace' | 'remove' | 'wrap'
  evil: boolean
  id: boolean
}

function mutated(xml: string, steps: readonly Step[]): string {
  const document = new DOMParser().parseFromString(xml, 'text/xml')
  for (const { at, to, how, evil, id } of steps) {
    const all = document.getElementsByTagName('*')
    const source = all.item(at % all.length)
    const target = all.item(to % all.length)
    if (!source || !target) continue
    const copy = source.cloneNode(true) as Element
    if (evil) rename(copy)
    if (id)
      for (const one of [copy, ...list(copy)]) if (one.hasAttribute('ID')) one.setAttribute('ID', `_new${at}`)
    const parent = target.parentNode
    if (how === 'into') target.appendChild(copy)
    else if (parent === null || parent === document) continue
    else if (how === 'before') parent.insertBefore(copy, target)
    else if (how === 'replace') parent.replaceChild(copy, target)
    else if (how === 'remove') parent.removeChild(target)
    else {
      parent.replaceChild(copy, target)
      copy.appendChild(target)
    }
  }
  return new XMLSerializer().serializeToString(document)
}

function rename(element: Element): void {
  for (const one of [element, ...list(element)])
    if (one.localName === 'NameID') one.textContent = 'root@evil.test'
}

function list(element: Element): Element[] {
  const all = element.getElementsByTagName('*')
  return Array.from({ length: all.length }, (_, index) => all.item(index)).filter((one) => one !== null)
}

test('whatever is accepted of a message that was taken apart says what was signed', () => {
  const step = fc.record({
    at: fc.nat(60),
    to: fc.nat(60),
    how: fc.constantFrom('into', 'before', 'replace', 'remove', 'wrap'),
    evil: fc.boolean(),
    id: fc.boolean(),
  })
  const outcomes = new Map<string, number>()
  fc.assert(
    fc.property(fc.nat(2), fc.array(step, { maxLength: 3 }), (which, steps) => {
      let outcome = 'accepted'
      try {
        assert.deepEqual(said(mutated(messages[which] ?? '', steps as Step[])), originals[which])
      } catch (error) {
        if (!(error instanceof SignInError)) throw error
        outcome = error.code
      }
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    }),
    { numRuns: 1500 },
  )
  // A search that never comes as far as the signature, or in, has searched nothing.
  for (const outcome of ['accepted', 'structure', 'bad_signature'])
    assert.ok((outcomes.get(outcome) ?? 0) > 20, `${outcome}: ${JSON.stringify([...outcomes])}`)
})

test('whatever is accepted of a message with changed characters says what was signed', () => {
  const piece = fc.constantFrom(
    'x',
    '<',
    '>',
    '"',
    '&',
    ' ',
    '\n',
    '&amp;',
    '<a/>',
    'ID="x"',
    '\u200b',
    '/',
    '=',
    '-',
  )
  fc.assert(
    fc.property(fc.nat(2), fc.nat(100_000), fc.nat(8), piece, (which, at, drop, put) => {
      const xml = messages[which] ?? ''
      const from = at % xml.length
      try {
        assert.deepEqual(said(xml.slice(0, from) + put + xml.slice(from + drop)), originals[which])
      } catch (error) {
        if (!(error instanceof SignInError)) throw error
      }
    }),
    { numRuns: 1500 },
  )
})
