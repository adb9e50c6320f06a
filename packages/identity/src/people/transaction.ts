/**
 * What a sign-in must remember between leaving for the provider and coming back, sealed so that the browser can keep it:
 * no state here to fill, and the answer is bound to the browser that asked. AES-256-GCM; the provider's name is part of
 * what is authenticated, so that an answer meant for one provider is not taken for another's (mix-up, RFC 9207).
 * Refuses what was not sealed here, what is too old, and a second use.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import type { Clock } from '@portcullis/kernel'
import { SignInError } from './errors.ts'
import type { UsedOnce } from './used-once.ts'

export interface Transaction {
  /** OIDC `state`, SAML RelayState. */
  readonly state: string
  readonly redirectUri: string
  readonly returnTo: string
  /** OIDC. */
  readonly nonce?: string
  readonly codeVerifier?: string
  /** SAML: the AuthnRequest's ID. */
  readonly requestId?: string
}

export interface Transactions {
  seal(provider: string, transaction: Transaction): { readonly sealed: string; readonly expiresAtUs: number }
  /** Does not use it up. @throws SignInError transaction_invalid, transaction_expired */
  open(provider: string, sealed: string): OpenTransaction
}

export interface OpenTransaction extends Transaction {
  /** @throws SignInError transaction_used, replay_memory */
  use(): Promise<void>
}

export interface TransactionOptions {
  /** At least 32 random bytes, the same for all replicas. */
  readonly key: Uint8Array
  /** How long a person may take at the provider. */
  readonly lifeSec: number
  readonly clock: Pick<Clock, 'nowUs'>
  readonly used: UsedOnce
}

const sealedCharsMax = 4096
const version = 'v1.'

/** @throws SignInError config */
export function createTransactions({ key, lifeSec, clock, used }: TransactionOptions): Transactions {
  if (key.length < 32) throw new SignInError('config', 'the sealing key must have at least 32 bytes')
  // The same secret may serve other purposes; this one is separated by name.
  const sealingKey = Buffer.from(hkdfSync('sha256', key, '', 'portcullis sign-in transaction v1', 32))

  const unseal = (provider: string, sealed: string): unknown => {
    try {
      if (sealed.length > sealedCharsMax || !sealed.startsWith(version)) throw new Error('not of this form')
      const bytes = Buffer.from(sealed.slice(version.length), 'base64url')
      const decipher = createDecipheriv('aes-256-gcm', sealingKey, bytes.subarray(0, 12), {
        authTagLength: 16,
      })
      decipher.setAAD(Buffer.from(provider))
      decipher.setAuthTag(bytes.subarray(-16))
      const plain = Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()])
      return JSON.parse(plain.toString('utf8'))
    } catch (cause) {
      throw new SignInError('transaction_invalid', 'the transaction was not sealed here for this provider', {
        cause,
      })
    }
  }

  return {
    seal(provider, transaction) {
      const expiresAtUs = clock.nowUs() + lifeSec * 1e6
      const iv = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', sealingKey, iv, { authTagLength: 16 })
      cipher.setAAD(Buffer.from(provider))
      const plain = JSON.stringify({ ...transaction, id: randomBytes(16).toString('base64url'), expiresAtUs })
      const parts = [iv, cipher.update(plain), cipher.final(), cipher.getAuthTag()]
      return { sealed: version + Buffer.concat(parts).toString('base64url'), expiresAtUs }
    },
    open(provider, sealed) {
      const content = unseal(provider, sealed) as Transaction & { id: string; expiresAtUs: number }
      if (content.expiresAtUs <= clock.nowUs())
        throw new SignInError('transaction_expired', `the sign-in took longer than ${lifeSec} s`)
      return { ...content, use: () => useOnce(used, `transaction|${content.id}`, content.expiresAtUs) }
    },
  }
}

async function useOnce(used: UsedOnce, id: string, untilUs: number): Promise<void> {
  const first = await used.claim(id, untilUs).catch((cause) => {
    throw new SignInError('replay_memory', 'whether this sign-in was used before cannot be told', { cause })
  })
  if (!first) throw new SignInError('transaction_used', 'the transaction was used before')
}
