/**
 * X.509 certificates for tests and the local demo, made without any program or package: node:crypto signs, the few
 * lines below write the DER. Refuses to be a certificate authority for anything real: keys live as long as the caller.
 * Source: RFC 5280.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto'

export type CertificateAndKey = { certPem: string; keyPem: string }

export type TestCertificates = { caPem: string; server: CertificateAndKey; client: CertificateAndKey }

/** A CA, a server certificate for the given names, and a client certificate for the given common name. P-256, ECDSA. */
export function makeCertificates(
  options: {
    caName?: string
    serverNames?: string[]
    clientName?: string
    validMs?: number
    now?: number
  } = {},
): TestCertificates {
  const {
    caName = 'Portcullis test CA',
    serverNames = ['localhost', '127.0.0.1'],
    clientName = 'app',
    validMs = 30 * 86_400_000,
  } = options
  const now = options.now ?? Date.now()
  const validity = { from: now - 3_600_000, until: now + validMs }
  const ca = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const issue = (name: string, subjectKey: KeyObject, extensions: Buffer[]) =>
    toPem(
      'CERTIFICATE',
      certificate({
        subject: name,
        issuer: caName,
        subjectKey,
        signer: ca.privateKey,
        validity,
        extensions,
      }),
    )
  const leaf = (name: string, extensions: Buffer[]): CertificateAndKey => {
    const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const keyPem = keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    return { certPem: issue(name, keys.publicKey, extensions), keyPem }
  }
  return {
    caPem: issue(caName, ca.publicKey, [basicConstraintsCa(), keyUsageCa()]),
    server: leaf(serverNames[0] ?? 'localhost', [
      extendedKeyUsage('serverAuth'),
      alternativeNames(serverNames),
    ]),
    client: leaf(clientName, [extendedKeyUsage('clientAuth')]),
  }
}

/** What a certificate of an authority says. */
export interface LeafOptions {
  readonly commonName: string
  readonly uris?: readonly string[]
  readonly dnsNames?: readonly string[]
  /** Milliseconds since 1970; from an hour ago to an hour from now where absent. */
  readonly from?: number
  readonly until?: number
  readonly usage?: 'clientAuth' | 'serverAuth'
}

export interface TestAuthority {
  readonly caPem: string
  issue(options: LeafOptions): CertificateAndKey
  /** A list that revokes these certificates of its own (RFC 5280 section 5). */
  revoke(...certPems: readonly string[]): string
}

/** An authority that issues and revokes whatever a test asks for. P-256, ECDSA. */
export function makeAuthority(name = 'Portcullis test CA'): TestAuthority {
  const ca = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const hour = 3_600_000
  const now = Date.now()
  const signed = (subject: string, subjectKey: KeyObject, validity: Validity, extensions: Buffer[]) =>
    toPem(
      'CERTIFICATE',
      certificate({ subject, issuer: name, subjectKey, signer: ca.privateKey, validity, extensions }),
    )
  const validity = { from: now - hour, until: now + hour }
  return {
    caPem: signed(name, ca.publicKey, validity, [basicConstraintsCa(), keyUsageCa()]),
    issue({ commonName, uris = [], dnsNames = [], usage = 'clientAuth', ...times }) {
      const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const names = [...uris.map((uri) => der(0x86, Buffer.from(uri, 'ascii'))), ...dnsNames.map(nameEntry)]
      const extensions = [
        extendedKeyUsage(usage),
        ...(names.length > 0 ? [extension('2.5.29.17', sequence(...names), false)] : []),
      ]
      const keyPem = keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
      return { certPem: signed(commonName, keys.publicKey, { ...validity, ...times }, extensions), keyPem }
    },
    revoke(...certPems) {
      const algorithm = sequence(oid('1.2.840.10045.4.3.2'))
      const serials = certPems.map((pem) => Buffer.from(new X509Certificate(pem).serialNumber, 'hex'))
      const body = sequence(
        der(0x02, Buffer.from([1])), // version 2
        algorithm,
        distinguishedName(name),
        generalizedTime(validity.from),
        generalizedTime(validity.until),
        sequence(...serials.map((serial) => sequence(der(0x02, serial), generalizedTime(now - 60_000)))),
      )
      return toPem('X509 CRL', sequence(body, algorithm, bitString(sign('sha256', body, ca.privateKey))))
    },
  }
}

type Validity = { from: number; until: number }

/** A self-signed RSA certificate, as SAML providers sign with. `bits` below 2048 is for tests that refuse it. */
export function makeRsaCertificate(commonName: string, bits = 2048): CertificateAndKey {
  const keys = generateKeyPairSync('rsa', { modulusLength: bits })
  const now = Date.now()
  const certPem = toPem(
    'CERTIFICATE',
    certificate({
      subject: commonName,
      issuer: commonName,
      subjectKey: keys.publicKey,
      signer: keys.privateKey,
      validity: { from: now - 3_600_000, until: now + 30 * 86_400_000 },
      extensions: [basicConstraintsCa()],
    }),
  )
  return { certPem, keyPem: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
}

function certificate(parts: {
  subject: string
  issuer: string
  subjectKey: KeyObject
  signer: KeyObject
  validity: Validity
  extensions: Buffer[]
}): Buffer {
  const algorithm =
    parts.signer.asymmetricKeyType === 'rsa'
      ? sequence(oid('1.2.840.113549.1.1.11'), der(0x05, Buffer.alloc(0))) // sha256WithRSAEncryption
      : sequence(oid('1.2.840.10045.4.3.2')) // ecdsa-with-SHA256
  const serial = randomBytes(16)
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40 // positive and never shortened
  const body = sequence(
    tagged(0, der(0x02, Buffer.from([2]))), // version 3
    der(0x02, serial),
    algorithm,
    distinguishedName(parts.issuer),
    sequence(generalizedTime(parts.validity.from), generalizedTime(parts.validity.until)),
    distinguishedName(parts.subject),
    parts.subjectKey.export({ type: 'spki', format: 'der' }),
    tagged(3, sequence(...parts.extensions)),
  )
  return sequence(body, algorithm, bitString(sign('sha256', body, parts.signer)))
}

function basicConstraintsCa(): Buffer {
  return extension('2.5.29.19', sequence(der(0x01, Buffer.from([0xff]))), true)
}

function keyUsageCa(): Buffer {
  return extension('2.5.29.15', der(0x03, Buffer.from([1, 0x06])), true) // keyCertSign, cRLSign
}

function extendedKeyUsage(purpose: 'serverAuth' | 'clientAuth'): Buffer {
  return extension('2.5.29.37', sequence(oid(`1.3.6.1.5.5.7.3.${purpose === 'serverAuth' ? 1 : 2}`)), false)
}

function alternativeNames(names: string[]): Buffer {
  return extension('2.5.29.17', sequence(...names.map(nameEntry)), false)
}

function nameEntry(name: string): Buffer {
  return /^\d+\.\d+\.\d+\.\d+$/.test(name)
    ? der(0x87, Buffer.from(name.split('.').map(Number)))
    : der(0x82, Buffer.from(name, 'ascii'))
}

function extension(id: string, value: Buffer, critical: boolean): Buffer {
  const flag = critical ? [der(0x01, Buffer.from([0xff]))] : []
  return sequence(oid(id), ...flag, der(0x04, value))
}

function distinguishedName(commonName: string): Buffer {
  return sequence(der(0x31, sequence(oid('2.5.4.3'), der(0x0c, Buffer.from(commonName, 'utf8')))))
}

/** RFC 5280 4.1.2.5: two-digit years until 2049, four digits after. */
function generalizedTime(atMs: number): Buffer {
  const digits = new Date(atMs).toISOString().replace(/[-:T]|\.\d+/g, '')
  return Number(digits.slice(0, 4)) < 2050
    ? der(0x17, Buffer.from(digits.slice(2), 'ascii'))
    : der(0x18, Buffer.from(digits, 'ascii'))
}

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const bytes = [first * 40 + second]
  for (const part of rest) {
    const groups = [part & 0x7f]
    for (let left = part >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80)
    bytes.push(...groups)
  }
  return der(0x06, Buffer.from(bytes))
}

function bitString(bytes: Buffer): Buffer {
  return der(0x03, Buffer.concat([Buffer.from([0]), bytes]))
}

function sequence(...parts: Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts))
}

function tagged(number: number, content: Buffer): Buffer {
  return der(0xa0 | number, content)
}

function der(tag: number, content: Buffer): Buffer {
  const length = content.length
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...head]), content])
}

function toPem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
