/**
 * What holds for each message of a client by itself: which may be read whole, how its names are read, and what its
 * command may ask of the messages behind it. Pure; it keeps nothing and refuses what no server would take.
 */
import type { Analysis, Unit } from '@portcullis/kernel'
import type { Frame, FrameRules } from './frames.ts'
import type { Running } from './ledger.ts'
import { tooLargeAnalysis } from './own-messages.ts'
import { frontend } from './wire.ts'

export function requestRules(statementBytesMax: number): FrameRules {
  return {
    handling(type, length) {
      switch (type) {
        case frontend.copyData:
          return 'stream'
        case frontend.bind:
          // Its values may decide, and people may have to see them; a long one is more likely data.
          return length > boundBytesMax ? 'prefix' : 'whole'
        case frontend.query:
        case frontend.parse:
        case frontend.functionCall:
          return length + 1 > statementBytesMax ? 'stream' : 'whole'
        default:
          if (length > (type === frontend.copyFail ? copyMessageBytesMax : controlMessageBytesMax)) {
            throw new ProtocolViolation(`message type ${type} has length ${length}`)
          }
          return 'whole'
      }
    },
    prefixReady(bytes, start, end) {
      const portalEnd = bytes.subarray(start, end).indexOf(0)
      return portalEnd >= 0 && bytes.subarray(start + portalEnd + 1, end).indexOf(0) >= 0
    },
  }
}

/** The client did what the protocol does not allow; the session ends. */
export class ProtocolViolation extends Error {}

/** A byte a character, and no more than the server looks at (NAMEDATALEN - 1): what is one name there is one here. */
export function nameOf(buffer: Buffer, start: number, end: number): string {
  return buffer.toString('latin1', start, Math.min(end, start + 63))
}

export function endOfString(buffer: Buffer, start: number, end: number): number {
  const at = buffer.indexOf(0, start)
  if (at < 0 || at >= end) throw new ProtocolViolation('a string without its end')
  return at
}

/**
 * ALTER or DROP of the role that the gate itself signs in with: whoever sets its password has the credential that no
 * agent may have, and locks everybody else out. What a DO block or a function does is for the target's own rights.
 */
export function altersOwnRole(analyses: readonly Analysis[], user: string): boolean {
  return analyses.some(
    ({ verb, objects, text }) =>
      (verb === 'ALTER ROLE' || verb === 'DROP ROLE') &&
      (objects.some(({ kind, name }) => kind === 'role' && name === user) ||
        /\b(current_user|session_user|current_role)\b/i.test(text)),
  )
}

/** Whether the server may ask for data: what the gate could not read included. */
export function mayCopyIn({ command: { analysis } }: Running): boolean {
  return (analysis.verb === 'COPY' && !analysis.returnsRows) || analysis.verb === 'UNKNOWN'
}

/** Whether a cap may have to stop it while others wait behind it. */
export function mayBeCut({ command }: Running): boolean {
  return (
    command.analysis.returnsRows &&
    (command.meter.rowsLeft !== Infinity || command.meter.bytesLeft !== Infinity)
  )
}

/** What the server reads while data is copied in. */
export const duringCopy: ReadonlySet<number> = new Set([
  frontend.copyData,
  frontend.copyDone,
  frontend.copyFail,
  frontend.sync,
  frontend.flush,
  frontend.terminate,
])

export function whenRead<T, U>(value: T | Promise<T>, then: (value: T) => U): U | Promise<U> {
  return value instanceof Promise ? value.then(then) : then(value)
}

export function tooLarge(frame: Frame): Omit<Unit, 'receivedAt'> {
  return {
    analyses: [tooLargeAnalysis(frame.end - frame.start + frame.rest)],
    objection: 'statement_too_large',
  }
}

const boundBytesMax = 65_536
const copyMessageBytesMax = 1_048_576
const controlMessageBytesMax = 65_536
