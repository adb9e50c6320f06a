/**
 * The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding, and PostgreSQL's md5 scheme: how the
 * gate signs in at a target. Pure but for the nonce and the key derivation (scram-keys.ts).
 */
import { createHash, hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { type DerivedKeys, type DeriveKeys, hmac } from './scram-keys.ts'

/** The server did not prove that it knows the password, or sent what SCRAM does not allow. */
export class ScramError extends Error {}

export interface Scram {
  readonly clientFirst: string
  /** Answers the server's first message. */
  respond(serverFirst: string): Promise<string>
  /** @throws ScramError where the server's proof is wrong: it does not know the password. */
  verify(serverFinal: string): void
}

/** More would let a hostile server keep a core busy; PostgreSQL's default is 4096. */
const iterationsMax = 1_000_000

export function createScram(
  password: string,
  derive: DeriveKeys,
  nonce = randomBytes(18).toString('base64'),
): Scram {
  // PostgreSQL takes the user from the start-up packet and ignores the one here.
  const bare = `n=,r=${nonce}`
  let expected: Buffer | undefined
  let derived: DerivedKeys | undefined

  return {
    clientFirst: `n,,${bare}`,
    async respond(serverFirst) {
      const { r: serverNonce = '', s: salt = '', i: count = '' } = attributes(serverFirst)
      const iterations = Number(count)
      if (!serverNonce.startsWith(nonce) || serverNonce.length === nonce.length)
        throw new ScramError('server nonce does not extend ours')
      if (!(iterations >= 1 && iterations <= iterationsMax))
        throw new ScramError(`iteration count ${count} is out of range`)
      derived = await derive(password, salt, iterations)
      const { client, server } = derived.keys
      const withoutProof = `c=biws,r=${serverNonce}`
      const message = `${bare},${serverFirst},${withoutProof}`
      const signature = hmac(createHash('sha256').update(client).digest(), message)
      const proof = Buffer.from(client.map((byte, at) => byte ^ (signature[at] ?? 0)))
      expected = hmac(server, message)
      return `${withoutProof},p=${proof.toString('base64')}`
    },
    verify(serverFinal) {
      const given = Buffer.from(attributes(serverFinal).v ?? '', 'base64')
      if (!expected || given.length !== expected.length || !timingSafeEqual(given, expected)) {
        throw new ScramError('server signature is wrong')
      }
      derived?.proven()
    },
  }
}

/** PostgreSQL manual 54.2.1, AuthenticationMD5Password. */
export function md5Password(user: string, password: string, salt: Uint8Array): string {
  const inner = hash('md5', password + user)
  return `md5${createHash('md5').update(inner).update(salt).digest('hex')}`
}

function attributes(text: string): Record<string, string> {
  return Object.fromEntries(text.split(',').map((part) => [part.slice(0, 1), part.slice(2)]))
}
