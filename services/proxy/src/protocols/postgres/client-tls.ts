/**
 * TLS towards clients: the listener's certificate, and theirs where there is an authority that vouches for clients. It
 * judges no certificate itself, OpenSSL does; and refuses none here, so that whoever decides on the login can say in the
 * trail why it was refused.
 */
import { createHash, type X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { createSecureContext, createServer, type Server, TLSSocket } from 'node:tls'
import type { ClientCertificate } from '@portcullis/kernel'
import { StreamEnded } from './byte-reader.ts'

export interface DoorTls {
  /** Rejects with StreamEnded where TLS was not agreed. */
  accept(socket: Socket): Promise<Secured>
}

export interface Secured {
  readonly socket: TLSSocket
  readonly certificate?: ClientCertificate
}

/** PEM. */
export interface DoorTlsOptions {
  readonly cert: string
  readonly key: string
  /** Authorities of clients' certificates; without it none is asked for. */
  readonly clientCa?: string
  /** What these authorities have revoked: a list of each of them. */
  readonly clientCrl?: string
}

const minVersion = 'TLSv1.2'

export function createDoorTls({ cert, key, clientCa, clientCrl }: DoorTlsOptions): DoorTls {
  if (clientCa === undefined) {
    const secureContext = createSecureContext({ cert, key, minVersion })
    return {
      accept: (socket) => {
        const secure = new TLSSocket(socket, { isServer: true, secureContext })
        return new Promise((resolve, reject) => {
          const failed = (cause?: Error) => {
            secure.destroy()
            reject(notAgreed(cause))
          }
          secure.once('error', failed).once('close', failed)
          secure.once('secure', () => {
            secure.off('error', failed).off('close', failed)
            resolve({ socket: secure })
          })
        })
      },
    }
  }
  const asked = { requestCert: true, rejectUnauthorized: false }
  const crl = clientCrl === undefined ? {} : { crl: clientCrl }
  return byServer(createServer({ cert, key, minVersion, ca: clientCa, ...asked, ...crl }))
}

/**
 * Only a server says of its sockets whether the client's certificate is authorised. It listens nowhere: it is handed its
 * connections, which the manual of node:tls allows for, and they are told apart by their two addresses.
 */
function byServer(server: Server): DoorTls {
  const waiting = new Map<string, (secured: Secured) => void>()
  server.on('secureConnection', (secure) => {
    const resolve = waiting.get(connectionOf(secure))
    if (resolve) resolve(securedBy(secure))
    else secure.destroy()
  })
  // Each connection hears of its own end; without a listener the server would speak up, too.
  server.on('tlsClientError', (_error, secure) => secure.destroy())
  return {
    accept: (socket) => {
      const connection = connectionOf(socket)
      return new Promise<Secured>((resolve, reject) => {
        if (socket.destroyed || socket.remotePort === undefined) return reject(notAgreed())
        const gone = () => reject(notAgreed())
        waiting.set(connection, (secured) => {
          socket.off('close', gone)
          resolve(secured)
        })
        socket.once('close', gone)
        server.emit('connection', socket)
      }).finally(() => waiting.delete(connection))
    },
  }
}

function connectionOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`
}

function securedBy(socket: TLSSocket): Secured {
  const certificate = socket.getPeerX509Certificate()
  if (!certificate) return { socket }
  const problem = socket.authorized ? undefined : String(socket.authorizationError)
  return { socket, certificate: readCertificate(certificate, problem) }
}

function readCertificate(certificate: X509Certificate, found: string | undefined): ClientCertificate {
  const names = alternativeNames(certificate.subjectAltName ?? '')
  const problem = found ?? (names ? undefined : 'its alternative names hold what cannot be told apart')
  return {
    thumbprint: createHash('sha256').update(certificate.raw).digest('base64url'),
    ...(problem !== undefined && { problem }),
    commonNames: commonNamesOf(certificate),
    uris: names?.get('URI') ?? [],
    dnsNames: names?.get('DNS') ?? [],
    validUntilUs: certificate.validToDate.getTime() * 1000,
  }
}

function commonNamesOf(certificate: X509Certificate): string[] {
  const { CN } = certificate.toLegacyObject().subject ?? {}
  return CN === undefined ? [] : [CN].flat()
}

/** By kind. Undefined where a name was put in quotes: it holds what parts names, or other marks (CVE-2021-44532). */
function alternativeNames(text: string): Map<string, string[]> | undefined {
  if (text.includes('"')) return undefined
  const names = new Map<string, string[]>()
  for (const entry of text === '' ? [] : text.split(', ')) {
    const at = entry.indexOf(':')
    const kind = entry.slice(0, at)
    names.set(kind, [...(names.get(kind) ?? []), entry.slice(at + 1)])
  }
  return names
}

function notAgreed(cause?: Error): StreamEnded {
  return new StreamEnded('TLS was not agreed', { cause })
}
