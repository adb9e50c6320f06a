/**
 * CancelRequest carries no identity: its secret is what owns a session, 4 random bytes in protocol 3.0, 32 in 3.2. The
 * process id is the server's own, since clients look for themselves by it (in pg_stat_activity and pg_locks, in what
 * NOTIFY says of its sender). Two servers may have given the same one, and any process may hold its session: a request
 * that is for none here goes to all others.
 */
import { randomFillSync, timingSafeEqual } from 'node:crypto'
import type { Clock } from '@portcullis/kernel'

export interface CancelKey {
  readonly processId: number
  readonly secret: Buffer
}

export interface CancelKeys {
  /** `processId`: the server's. */
  issue(minor: 0 | 2, processId: number, cancel: () => void): CancelKey
  revoke(key: CancelKey): void
  /** A request from a client of this process; hands it on where no session of this process is meant. */
  request(processId: number, secret: Uint8Array, address: string): Promise<void>
  /** A request handed on by another process; whether its secret was right. */
  handedOn(processId: number, secret: Uint8Array): boolean
}

export interface CancelKeysDeps {
  readonly clock: Clock
  /** Asks all other processes; false where none says yes. */
  readonly handOn: (processId: number, secret: Uint8Array) => Promise<boolean>
  readonly onGuess: (address: string) => void
}

/** Wrong secrets that one address may send a minute; further requests of its go unread. */
const guessesMax = 10
const guessWindowMs = 60_000
const addressesMax = 10_000

export function createCancelKeys({ clock, handOn, onGuess }: CancelKeysDeps): CancelKeys {
  const sessions = new Map<number, Map<CancelKey, () => void>>()
  const guesses = new Map<string, { count: number; since: number }>()
  const randomBytes = createRandomBytes()

  const handedOn = (processId: number, secret: Uint8Array): boolean => {
    for (const [key, cancel] of sessions.get(processId) ?? []) {
      if (secret.length !== key.secret.length || !timingSafeEqual(secret, key.secret)) continue
      cancel()
      return true
    }
    return false
  }

  /** Guesses of this address within the last minute. */
  const guessesOf = (address: string) => {
    const known = guesses.get(address)
    return known && clock.monotonicMs() - known.since < guessWindowMs ? known : undefined
  }

  return {
    issue(minor, processId, cancel) {
      const key = { processId, secret: randomBytes(minor === 2 ? 32 : 4) }
      const namesakes = sessions.get(processId) ?? new Map()
      sessions.set(processId, namesakes.set(key, cancel))
      return key
    },
    revoke(key) {
      const namesakes = sessions.get(key.processId)
      if (namesakes?.delete(key) && namesakes.size === 0) sessions.delete(key.processId)
    },
    handedOn,
    async request(processId, secret, address) {
      if ((guessesOf(address)?.count ?? 0) >= guessesMax) return
      if (handedOn(processId, secret) || (await handOn(processId, secret))) return
      const known = guessesOf(address) ?? { count: 0, since: clock.monotonicMs() }
      known.count++
      if (guesses.size >= addressesMax) guesses.clear()
      guesses.set(address, known)
      onGuess(address)
    },
  }
}

/** A few at a time out of many made at once: each session's own would cost it a job for the generator, and 200 bytes more. */
function createRandomBytes(): (length: number) => Buffer {
  let made = Buffer.alloc(0)
  return (length) => {
    if (made.length < length) made = randomFillSync(Buffer.allocUnsafeSlow(4096))
    const taken = made.subarray(0, length)
    made = made.subarray(length)
    return taken
  }
}
