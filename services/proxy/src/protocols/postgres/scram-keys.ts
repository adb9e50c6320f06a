/**
 * The keys that SCRAM derives from a password, remembered: thousands of rounds of HMAC are half of what a sign-in costs,
 * and they come to the same for the same password, salt and iteration count (RFC 5802, section 3, has a client keep
 * ClientKey and ServerKey). It refuses to hold a password, or keys that no server has proven to share, and lets go of
 * what nobody signed in with for a while.
 */
import { createHmac, pbkdf2, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import type { Clock } from '@portcullis/kernel'

/** What there is to know of a password at one server. */
export interface ScramKeys {
  readonly client: Buffer
  readonly server: Buffer
}

export interface DerivedKeys {
  readonly keys: ScramKeys
  /** The server has proven that it knows the password: from now on the keys are remembered. */
  proven(): void
}

/** `salt` is base64, as the server sends it. Rejects only where the key derivation itself fails. */
export type DeriveKeys = (password: string, salt: string, iterations: number) => Promise<DerivedKeys>

const entriesMax = 256
/** A password that was changed is not signed in with any more. */
const unusedMsMax = 600_000

const rounds = promisify(pbkdf2)

/** Remembers nothing. */
export const deriveKeys: DeriveKeys = async (password, salt, iterations) => {
  const salted = await rounds(
    password.normalize('NFKC'),
    Buffer.from(salt, 'base64'),
    iterations,
    32,
    'sha256',
  )
  return {
    keys: { client: hmac(salted, 'Client Key'), server: hmac(salted, 'Server Key') },
    proven: () => undefined,
  }
}

export function rememberKeys(clock: Pick<Clock, 'monotonicMs'>, derive: DeriveKeys = deriveKeys): DeriveKeys {
  /** What was used last stands last. */
  const known = new Map<string, { readonly keys: ScramKeys; usedMs: number }>()
  const secret = randomBytes(32)

  function keep(id: string, keys: ScramKeys): void {
    const nowMs = clock.monotonicMs()
    known.delete(id)
    known.set(id, { keys, usedMs: nowMs })
    for (const [other, { usedMs }] of known) {
      if (known.size <= entriesMax && nowMs - usedMs <= unusedMsMax) break
      known.delete(other)
    }
  }

  return async (password, salt, iterations) => {
    const id = createHmac('sha256', secret)
      .update(JSON.stringify([password, salt, iterations]))
      .digest('base64')
    const { keys } = known.get(id) ?? (await derive(password, salt, iterations))
    return { keys, proven: () => keep(id, keys) }
  }
}

export function hmac(key: Uint8Array, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest()
}
