/**
 * The answer of a SAML identity provider -> the one assertion that it signed. Pure but for the cryptography. The order:
 *
 *   size, base64, UTF-8 -> strict XML -> one Response with one (encrypted) Assertion, each in its place, no ID twice
 *   -> every signature that is there must be good, those that are configured must be there
 *   -> only the bytes that a signature covers are read again, as a new document
 *
 * Refuses signature wrapping in all of its eight forms twice: by the shape (a second assertion has no place to stand) and
 * by reading nothing but signed bytes. Source: SAML core, bindings 3.5; Somorovsky et al., "On Breaking SAML", 2012.
 */
import type { KeyObject } from 'node:crypto'
import { SignInError } from './errors.ts'
import { childOf, childrenOf, ds, everyElement, isElement, saml, samlp, theChildOf } from './saml-names.ts'
import { parseXml, type XmlElement } from './xml.ts'
import { decryptAssertion } from './xml-decrypt.ts'
import { verifiedXml } from './xml-signature.ts'

export interface ResponseKeys {
  /** Of the provider; several while its certificate is rolled over. */
  readonly signing: readonly KeyObject[]
  /** Ours; several while ours is rotated. */
  readonly decryption: readonly KeyObject[]
  /** What must be signed. */
  readonly signed: 'assertion' | 'response' | 'both' | 'either'
  /** Whether an assertion must be encrypted. */
  readonly mustEncrypt: boolean
}

export interface SignedAssertion {
  /** Signed where `signed` says response or both; otherwise what stood around the assertion, which proves nothing. */
  readonly response: XmlElement
  readonly assertion: XmlElement
}

const encodedCharsMax = 512 * 1024

/** `encoded` is the form field SAMLResponse. @throws SignInError */
export function readResponse(encoded: string, keys: ResponseKeys): SignedAssertion {
  const document = decodeMessage(encoded)
  const root = parseXml(document)
  const place = requireShape(root)
  const response = signedPart(document, root, [], keys)
  if (!response && (keys.signed === 'response' || keys.signed === 'both'))
    throw new SignInError('unsigned', 'the response is not signed, as configured')
  requireSuccess(response ?? root)
  const assertion = place.isEncrypted
    ? fromEncrypted(response ? assertionIn(response, 'EncryptedAssertion') : place.element, keys)
    : signedPart(document, place.element, place.path, keys)
  if (!place.isEncrypted && keys.mustEncrypt)
    throw new SignInError('unsigned', 'the assertion is not encrypted, as configured')
  if (!assertion && (keys.signed === 'assertion' || keys.signed === 'both'))
    throw new SignInError('unsigned', 'the assertion is not signed, as configured')
  if (!assertion && !response) throw new SignInError('unsigned', 'neither response nor assertion is signed')
  return { response: response ?? root, assertion: assertion ?? coveredAssertion(response, keys) }
}

/** @throws SignInError too_large, malformed */
function decodeMessage(encoded: string): string {
  if (encoded.length > encodedCharsMax)
    throw new SignInError('too_large', `the response is longer than ${encodedCharsMax} characters`)
  const packed = encoded.replace(/[\r\n\t ]+/g, '')
  if (packed === '' || packed.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(packed))
    throw new SignInError('malformed', 'the response is not base64')
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(packed, 'base64'))
  } catch {
    throw new SignInError('malformed', 'the response is not UTF-8')
  }
}

type Place = { element: XmlElement; path: readonly number[]; isEncrypted: boolean }

/** Before any cryptography. */
function requireShape(root: XmlElement): Place {
  if (!isElement(root, samlp, 'Response'))
    throw new SignInError('structure', 'the message is no SAML Response')
  requireVersion(root)
  for (const child of root.children) {
    const known = ['Status', 'Issuer', 'Signature', 'Assertion', 'EncryptedAssertion'].includes(child.name)
    if (!known) throw new SignInError('structure', 'the Response has other parts than it needs')
  }
  const all = everyElement(root)
  requireUniqueIds(all)
  const plain = childrenOf(root, saml, 'Assertion')
  const encrypted = childrenOf(root, saml, 'EncryptedAssertion')
  const element = plain[0] ?? encrypted[0]
  if (!element || plain.length + encrypted.length > 1) {
    // Without one there is, most often, a status that says why.
    if (!element) requireSuccess(root)
    throw new SignInError('structure', 'the Response has not exactly one assertion')
  }
  // By local name: parsers that ignore namespaces must not find another one either.
  for (const one of all)
    if (/^(Response|Assertion|EncryptedAssertion)$/.test(one.name) && one !== root && one !== element)
      throw new SignInError('structure', `there is a second ${one.name} where none may be`)
  const allowed = [...childrenOf(root, ds, 'Signature'), ...childrenOf(element, ds, 'Signature')]
  for (const one of all)
    if (one.name === 'Signature' && !allowed.includes(one))
      throw new SignInError('structure', 'there is a Signature where none may be')
  return { element, path: [root.children.indexOf(element)], isEncrypted: element === encrypted[0] }
}

function requireUniqueIds(elements: readonly XmlElement[]): void {
  const seen = new Set<string>()
  for (const { attributes } of elements) {
    for (const [name, id] of attributes) {
      if (name.replace(/^\{.*\}/, '').toLowerCase() !== 'id') continue
      if (seen.has(id)) throw new SignInError('structure', 'an ID stands twice')
      seen.add(id)
    }
  }
}

/** What is signed of `element`, read anew; undefined where it has no signature. */
function signedPart(
  document: string,
  element: XmlElement,
  path: readonly number[],
  keys: ResponseKeys,
): XmlElement | undefined {
  if (!childOf(element, ds, 'Signature')) return undefined
  const signed = parseXml(verifiedXml(document, element, path, keys.signing))
  if (signed.namespace !== element.namespace || signed.name !== element.name)
    throw new SignInError('structure', 'the signature covers another element than it stands in')
  requireVersion(signed)
  return signed
}

/** The assertion that a signed response covers, which has no signature of its own. */
function coveredAssertion(response: XmlElement | undefined, keys: ResponseKeys): XmlElement {
  if (!response) throw new SignInError('unsigned', 'neither response nor assertion is signed')
  const plain = childOf(response, saml, 'Assertion')
  const assertion = plain ?? plainOf(assertionIn(response, 'EncryptedAssertion'), keys).root
  requireVersion(assertion)
  return assertion
}

function assertionIn(response: XmlElement, name: 'Assertion' | 'EncryptedAssertion'): XmlElement {
  return theChildOf(response, saml, name)
}

/** Undefined where it has no signature of its own. */
function fromEncrypted(encrypted: XmlElement, keys: ResponseKeys): XmlElement | undefined {
  const { document, root } = plainOf(encrypted, keys)
  return signedPart(document, root, [], keys)
}

function plainOf(encrypted: XmlElement, keys: ResponseKeys): { document: string; root: XmlElement } {
  if (keys.decryption.length === 0)
    throw new SignInError('decryption', 'the assertion is encrypted, and no decryption key is configured')
  const document = decryptAssertion(encrypted, keys.decryption)
  try {
    const root = parseXml(document)
    if (!isElement(root, saml, 'Assertion')) throw new SignInError('structure', 'not an Assertion')
    const all = everyElement(root)
    requireUniqueIds(all)
    const signatures = childrenOf(root, ds, 'Signature')
    for (const one of all)
      if (
        one !== root &&
        (/Assertion$|^Response$/.test(one.name) || (one.name === 'Signature' && !signatures.includes(one)))
      )
        throw new SignInError('structure', 'more than one Assertion or Signature')
    return { document, root }
  } catch {
    // The same as for a wrong padding: the difference would be an oracle.
    throw new SignInError(
      'decryption',
      'the assertion cannot be decrypted with the keys of this configuration',
    )
  }
}

function requireVersion(element: XmlElement): void {
  if (element.attributes.get('Version') !== '2.0')
    throw new SignInError('malformed', `the ${element.name} is not of SAML 2.0`)
}

/** @throws SignInError provider_refused */
function requireSuccess(response: XmlElement): void {
  const code = theChildOf(theChildOf(response, samlp, 'Status'), samlp, 'StatusCode')
  const value = code.attributes.get('Value') ?? ''
  if (value === 'urn:oasis:names:tc:SAML:2.0:status:Success') return
  const detail = childOf(code, samlp, 'StatusCode')?.attributes.get('Value') ?? value
  const word = /^urn:oasis:names:tc:SAML:2\.0:status:([A-Za-z]{1,40})$/.exec(detail)?.[1]
  throw new SignInError('provider_refused', `the provider answered ${word ?? 'an error'}`)
}
