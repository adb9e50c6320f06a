/**
 * The signature of one element of a SAML message -> the very bytes that were signed, to be read instead of the message
 * ("see what is signed"). xml-crypto does the cryptography; which forms are let through to it is decided here:
 *
 *   Signature is a child of what it signs, with SignedInfo, SignatureValue and KeyInfo and nothing else (no Object)
 *   one Reference, to the ID of its parent; the transforms enveloped-signature and exclusive canonicalisation, in order
 *   methods of the list, without SHA-1; keys from the configuration only, whatever KeyInfo says
 *
 * Refuses all else. Source: XML Signature 1.1; SAML core 5.4; Somorovsky et al., "On Breaking SAML", 2012.
 */
import type { KeyObject } from 'node:crypto'
import { DOMParser } from '@xmldom/xmldom'
import { SignedXml } from 'xml-crypto'
import { SignInError } from './errors.ts'
import {
  childrenOf,
  digestMethods,
  ds,
  enveloped,
  excC14n,
  signatureMethods,
  textOf,
  theChildOf,
} from './saml-names.ts'
import type { XmlElement } from './xml.ts'

/**
 * `document` is the text whose tree has `parent` at `path` (indexes of children from the root) with a child `signature`.
 * Returns the canonical bytes of `parent`, without its signature. @throws SignInError structure, algorithm, bad_signature
 */
export function verifiedXml(
  document: string,
  parent: XmlElement,
  path: readonly number[],
  keys: readonly KeyObject[],
): string {
  const signature = theChildOf(parent, ds, 'Signature')
  requireForm(signature, parent.attributes.get('ID') ?? '')
  const node = signatureNode(document, path)
  for (const key of keys) {
    const bytes = check(document, node, key)
    if (bytes !== undefined) return bytes
  }
  throw new SignInError(
    'bad_signature',
    `the signature of ${parent.name} is by none of the ${keys.length} certificates of this provider`,
  )
}

function requireForm(signature: XmlElement, parentId: string): void {
  const names = signature.children.map(({ namespace, name }) => (namespace === ds ? name : `{${namespace}}`))
  if (!/^SignedInfo,SignatureValue(,KeyInfo)?$/.test(names.join()))
    throw new SignInError('structure', 'a Signature has other parts than SignedInfo, SignatureValue, KeyInfo')
  const info = theChildOf(signature, ds, 'SignedInfo')
  requireAlgorithm(theChildOf(info, ds, 'CanonicalizationMethod'), [excC14n])
  requireAlgorithm(theChildOf(info, ds, 'SignatureMethod'), signatureMethods)
  const reference = theChildOf(info, ds, 'Reference')
  if (info.children.length !== 3) throw new SignInError('structure', 'SignedInfo has other parts than it may')
  if (!/^[A-Za-z_][\w.-]*$/.test(parentId) || reference.attributes.get('URI') !== `#${parentId}`)
    throw new SignInError('structure', 'a Signature refers to something else than its parent')
  requireAlgorithm(theChildOf(reference, ds, 'DigestMethod'), digestMethods)
  textOf(theChildOf(reference, ds, 'DigestValue'))
  textOf(theChildOf(signature, ds, 'SignatureValue'))
  const transforms = childrenOf(theChildOf(reference, ds, 'Transforms'), ds, 'Transform')
  const algorithms = transforms.map((transform) => transform.attributes.get('Algorithm'))
  if (algorithms.length !== 2 || algorithms[0] !== enveloped || algorithms[1] !== excC14n)
    throw new SignInError(
      'algorithm',
      'a Signature has other transforms than enveloped and exclusive canonicalisation',
    )
  if (reference.children.length !== 3)
    throw new SignInError('structure', 'a Reference has other parts than it may')
}

function requireAlgorithm(element: XmlElement, allowed: readonly string[]): void {
  if (!allowed.includes(element.attributes.get('Algorithm') ?? ''))
    throw new SignInError(
      'algorithm',
      `the ${element.name} is not one of those allowed; SHA-1 is none of them`,
    )
}

/** In xml-crypto's own parser; `parseXml` has refused every text that it could read otherwise. */
function signatureNode(document: string, path: readonly number[]): Node {
  const parsed = new DOMParser({ errorHandler: refuseOddity }).parseFromString(document, 'text/xml')
  const elementsIn = (parent: Node) =>
    [...iterate(parent.childNodes)].filter(({ nodeType }) => nodeType === 1)
  let node: Node | undefined = elementsIn(parsed)[0]
  for (const index of path) node = node && elementsIn(node)[index]
  const found = node ? elementsIn(node).filter((one) => isNamed(one, ds, 'Signature')) : []
  if (!found[0] || found.length > 1)
    throw new SignInError('structure', 'the Signature is not where it must be')
  return found[0]
}

/** The bytes, or undefined where this key is not the one. */
function check(document: string, node: Node, key: KeyObject): string | undefined {
  const signed = new SignedXml({ publicCert: key, getCertFromKeyInfo: () => null })
  // Belt and braces: what is not on the list does not exist for the library either.
  keepOnly(signed.SignatureAlgorithms, signatureMethods)
  keepOnly(signed.HashAlgorithms, digestMethods)
  keepOnly(signed.CanonicalizationAlgorithms, [excC14n, enveloped])
  let isDigestGood: boolean
  try {
    signed.loadSignature(node)
    isDigestGood = signed.checkSignature(document)
  } catch {
    // It throws for a wrong value as for anything else; its texts hold parts of the message.
    return undefined
  }
  // No other key would help, and each costs another canonicalisation of a message that anyone may send.
  if (!isDigestGood)
    throw new SignInError(
      'bad_signature',
      'what is signed was changed: its digest is not the one that was signed',
    )
  const [bytes, ...more] = signed.getSignedReferences()
  if (bytes === undefined || more.length > 0)
    throw new SignInError('structure', 'a Signature covers another number of elements than one')
  return bytes
}

function keepOnly(algorithms: Record<string, unknown>, names: readonly string[]): void {
  for (const name of Object.keys(algorithms)) if (!names.includes(name)) delete algorithms[name]
}

function isNamed(node: Node, namespace: string, name: string): boolean {
  return (
    'namespaceURI' in node &&
    node.namespaceURI === namespace &&
    'localName' in node &&
    node.localName === name
  )
}

function* iterate(nodes: NodeListOf<Node> | { readonly length: number; item(index: number): Node | null }) {
  for (let index = 0; index < nodes.length; index += 1) {
    const node = nodes.item(index)
    if (node) yield node
  }
}

function refuseOddity(): never {
  throw new SignInError('malformed', 'the XML is not well-formed')
}
