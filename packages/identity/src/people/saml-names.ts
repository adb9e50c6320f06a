/** Namespaces and identifiers of SAML 2.0, XML Signature and XML Encryption, and how to look into their elements. */
import { SignInError } from './errors.ts'
import type { XmlElement } from './xml.ts'

export const samlp = 'urn:oasis:names:tc:SAML:2.0:protocol'
export const saml = 'urn:oasis:names:tc:SAML:2.0:assertion'
export const md = 'urn:oasis:names:tc:SAML:2.0:metadata'
export const ds = 'http://www.w3.org/2000/09/xmldsig#'
export const xenc = 'http://www.w3.org/2001/04/xmlenc#'
export const redirectBinding = 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect'
export const postBinding = 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST'
export const excC14n = 'http://www.w3.org/2001/10/xml-exc-c14n#'
export const enveloped = 'http://www.w3.org/2000/09/xmldsig#enveloped-signature'

/** SHA-1 is in none of them. What xml-crypto can verify, less what must not be trusted. */
export const signatureMethods = [
  'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
  'http://www.w3.org/2001/04/xmldsig-more#rsa-sha512',
  'http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1',
] as const
export const digestMethods = [
  'http://www.w3.org/2001/04/xmlenc#sha256',
  'http://www.w3.org/2001/04/xmlenc#sha512',
] as const

export function isElement(element: XmlElement, namespace: string, name: string): boolean {
  return element.namespace === namespace && element.name === name
}

export function childrenOf(element: XmlElement, namespace: string, name: string): readonly XmlElement[] {
  return element.children.filter((child) => isElement(child, namespace, name))
}

/** The only one. @throws SignInError structure where there are several */
export function childOf(element: XmlElement, namespace: string, name: string): XmlElement | undefined {
  const found = childrenOf(element, namespace, name)
  if (found.length > 1) throw new SignInError('structure', `${element.name} has several ${name}`)
  return found[0]
}

/** @throws SignInError structure where there is not exactly one */
export function theChildOf(element: XmlElement, namespace: string, name: string): XmlElement {
  return childOf(element, namespace, name) ?? missing(element, name)
}

/** Element and all below it. */
export function everyElement(element: XmlElement): XmlElement[] {
  return [element, ...element.children.flatMap(everyElement)]
}

/** The text of an element that has nothing else. @throws SignInError structure */
export function textOf(element: XmlElement): string {
  if (element.children.length > 0) throw new SignInError('structure', `${element.name} is not plain text`)
  return element.text.trim()
}

function missing(element: XmlElement, name: string): never {
  throw new SignInError('structure', `${element.name} has no ${name}`)
}
