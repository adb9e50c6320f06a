/**
 * CancelRequest carries no identity: its secret is what owns a session. The process id that a client is given names the
 * proxy process that holds the session, so that any other can hand the request on.
 *
 *   process id (31 bits)   | slot of the process, 10 bits | random, 21 bits |
 *   secret                   4 random bytes in protocol 3.0, 32 in 3.2
 */
import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto'
import type { Clock } from '@portcullis/kernel'

export interface CancelKey {
  readonly processId: number
  readonly secret: Buffer
}

export interface CancelKeys {
  issue(minor: 0 | 2, cancel: () => void): CancelKey
  revoke(processId: number): void
  /** A request from a client of this process; hands it on where another process holds the session. */
  request(processId: number, secret: Uint8Array, address: string): Promise<void>
  /** A request handed on by another process; whether its secret was right. */
  handedOn(processId: number, secret: Uint8Array): boolean
}

export interface CancelKeysDeps {
  readonly slot: number
  readonly clock: Clock
  /** Asks the process of that slot; false where there is none or its answer is no. */
  readonly handOn: (slot: number, processId: number, secret: Uint8Array) => Promise<boolean>
  readonly onGuess: (address: string) => void
}

export const slotMax = 1023
const randomBits = 21
/** Wrong secrets that one address may send a minute; further requests of its go unread. */
const guessesMax = 10
const guessWindowMs = 60_000
const addressesMax = 10_000

export function createCancelKeys({ slot, clock, handOn, onGuess }: CancelKeysDeps): CancelKeys {
  const sessions = new Map<number, { secret: Buffer; cancel: () => void }>()
  const guesses = new Map<string, { count: number; since: number }>()

  const handedOn = (processId: number, secret: Uint8Array): boolean => {
    const session = sessions.get(processId)
    if (!session || secret.length !== session.secret.length || !timingSafeEqual(secret, session.secret))
      return false
    session.cancel()
    return true
  }

  /** Guesses of this address within the last minute. */
  const guessesOf = (address: string) => {
    const known = guesses.get(address)
    return known && clock.monotonicMs() - known.since < guessWindowMs ? known : undefined
  }

  return {
    issue(minor, cancel) {
      let processId: number
      do processId = slot * 2 ** randomBits + randomInt(1, 2 ** randomBits)
      while (sessions.has(processId))
      const secret = randomBytes(minor === 2 ? 32 : 4)
      sessions.set(processId, { secret, cancel })
      return { processId, secret }
    },
    revoke: (processId) => void sessions.delete(processId),
    handedOn,
    async request(processId, secret, address) {
      if ((guessesOf(address)?.count ?? 0) >= guessesMax) return
      const owner = processId >>> randomBits
      const right =
        owner === slot
          ? handedOn(processId, secret)
          : owner <= slotMax && (await handOn(owner, processId, secret))
      if (right) return
      const known = guessesOf(address) ?? { count: 0, since: clock.monotonicMs() }
      known.count++
      if (guesses.size >= addressesMax) guesses.clear()
      guesses.set(address, known)
      onGuess(address)
    },
  }
}
