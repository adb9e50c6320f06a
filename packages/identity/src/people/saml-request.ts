/**
 * What we say in SAML: the request for a sign-in, by redirect or by a form, and the document that tells a provider about
 * us. Pure but for signing and chance. Source: SAML core 3.4.1, bindings 3.4 and 3.5, metadata 2.4.4.
 */
import { createPrivateKey, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto'
import { deflateRawSync } from 'node:zlib'
import { SignedXml } from 'xml-crypto'
import { ds, enveloped, excC14n, md, postBinding, saml, samlp, signatureMethods } from './saml-names.ts'

export interface SigningPair {
  readonly key: KeyObject
  /** PEM. */
  readonly certificate: string
}

export interface RequestOptions {
  readonly entityId: string
  readonly acsUrl: string
  /** Of the provider. */
  readonly destination: string
  readonly nowUs: number
  readonly nameIdFormat?: string | undefined
  readonly forceAuthn?: boolean | undefined
  readonly authnContexts?: readonly string[] | undefined
}

/** A fresh AuthnRequest; its `id` is what the answer must name. */
export function makeAuthnRequest(options: RequestOptions): { readonly id: string; readonly xml: string } {
  const id = `_${randomBytes(20).toString('hex')}`
  const attributes = {
    ID: id,
    Version: '2.0',
    IssueInstant: new Date(Math.floor(options.nowUs / 1000)).toISOString(),
    Destination: options.destination,
    AssertionConsumerServiceURL: options.acsUrl,
    ProtocolBinding: postBinding,
    ...(options.forceAuthn ? { ForceAuthn: 'true' } : {}),
  }
  const policy = `<samlp:NameIDPolicy${attributesText({
    ...(options.nameIdFormat === undefined ? {} : { Format: options.nameIdFormat }),
    AllowCreate: 'true',
  })}/>`
  const contexts = options.authnContexts?.length
    ? `<samlp:RequestedAuthnContext Comparison="exact">${options.authnContexts
        .map((one) => `<saml:AuthnContextClassRef>${escaped(one)}</saml:AuthnContextClassRef>`)
        .join('')}</samlp:RequestedAuthnContext>`
    : ''
  const xml = `<samlp:AuthnRequest xmlns:samlp="${samlp}" xmlns:saml="${saml}"${attributesText(attributes)}><saml:Issuer>${escaped(options.entityId)}</saml:Issuer>${policy}${contexts}</samlp:AuthnRequest>`
  return { id, xml }
}

/** Where to send the browser. With a pair the query is signed (bindings 3.4.4.1), RSA with SHA-256. */
export function redirectUrl(
  destination: string,
  xml: string,
  relayState: string,
  pair?: SigningPair,
): string {
  const query = [
    `SAMLRequest=${encodeURIComponent(deflateRawSync(xml).toString('base64'))}`,
    `RelayState=${encodeURIComponent(relayState)}`,
  ]
  if (pair) {
    query.push(`SigAlg=${encodeURIComponent(signatureMethods[0])}`)
    const signature = sign('sha256', Buffer.from(query.join('&')), pair.key).toString('base64')
    query.push(`Signature=${encodeURIComponent(signature)}`)
  }
  return `${destination}${destination.includes('?') ? '&' : '?'}${query.join('&')}`
}

/** The fields of the form to post. With a pair the document itself is signed. */
export function postFields(xml: string, relayState: string, pair?: SigningPair): Record<string, string> {
  const document = pair ? signedRequest(xml, pair) : xml
  return { SAMLRequest: Buffer.from(document).toString('base64'), RelayState: relayState }
}

/** Schema order: Issuer, Signature, the rest. */
function signedRequest(xml: string, { key, certificate }: SigningPair): string {
  const signed = new SignedXml({
    privateKey: key.export({ type: 'pkcs8', format: 'pem' }),
    publicCert: certificate,
    signatureAlgorithm: signatureMethods[0],
    canonicalizationAlgorithm: excC14n,
  })
  signed.addReference({
    xpath: '/*',
    transforms: [enveloped, excC14n],
    digestAlgorithm: 'http://www.w3.org/2001/04/xmlenc#sha256',
  })
  signed.computeSignature(xml, {
    prefix: 'ds',
    location: { reference: "/*/*[local-name(.)='Issuer']", action: 'after' },
  })
  return signed.getSignedXml()
}

export interface MetadataOptions {
  readonly entityId: string
  readonly acsUrl: string
  readonly wantAssertionsSigned: boolean
  readonly nameIdFormat?: string | undefined
  /** PEM; several while they are rotated. */
  readonly signingCertificates: readonly string[]
  readonly encryptionCertificates: readonly string[]
}

/** Our EntityDescriptor, to be registered at the provider. It holds nothing secret. */
export function spMetadata(options: MetadataOptions): string {
  const keyOf = (use: string, extra: string) => (pem: string) =>
    `<md:KeyDescriptor use="${use}"><ds:KeyInfo xmlns:ds="${ds}"><ds:X509Data><ds:X509Certificate>${new X509Certificate(pem).raw.toString('base64')}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>${extra}</md:KeyDescriptor>`
  const methods = ['http://www.w3.org/2009/xmlenc11#aes256-gcm', 'http://www.w3.org/2009/xmlenc11#aes128-gcm']
    .concat('http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p')
    .map((algorithm) => `<md:EncryptionMethod Algorithm="${algorithm}"/>`)
    .join('')
  const descriptor = attributesText({
    protocolSupportEnumeration: samlp,
    AuthnRequestsSigned: String(options.signingCertificates.length > 0),
    WantAssertionsSigned: String(options.wantAssertionsSigned),
  })
  const parts = [
    ...options.signingCertificates.map(keyOf('signing', '')),
    ...options.encryptionCertificates.map(keyOf('encryption', methods)),
    options.nameIdFormat === undefined
      ? ''
      : `<md:NameIDFormat>${escaped(options.nameIdFormat)}</md:NameIDFormat>`,
    `<md:AssertionConsumerService${attributesText({ Binding: postBinding, Location: options.acsUrl, index: '0', isDefault: 'true' })}/>`,
  ]
  return `<?xml version="1.0" encoding="UTF-8"?>\n<md:EntityDescriptor xmlns:md="${md}"${attributesText({ entityID: options.entityId })}><md:SPSSODescriptor${descriptor}>${parts.join('')}</md:SPSSODescriptor></md:EntityDescriptor>\n`
}

/** @throws Error where it is no RSA key of at least 2048 bits, the only kind that every provider can check. */
export function signingPair(keyPem: string, certificate: string): SigningPair {
  const key = rsaPrivateKey(keyPem)
  if (!new X509Certificate(certificate).checkPrivateKey(key))
    throw new Error('the certificate is not for this key')
  return { key, certificate }
}

export function rsaPrivateKey(pem: string): KeyObject {
  const key = createPrivateKey(pem)
  if (key.asymmetricKeyType !== 'rsa' || (key.asymmetricKeyDetails?.modulusLength ?? 0) < 2048)
    throw new Error('it must be an RSA key of at least 2048 bits')
  return key
}

function attributesText(attributes: Readonly<Record<string, string>>): string {
  return Object.entries(attributes)
    .map(([name, value]) => ` ${name}="${escaped(value)}"`)
    .join('')
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
