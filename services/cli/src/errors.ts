/** Every way to fail, with the exit code that scripts see. An error says what, where, and what to do. */
import { CodedError } from '@portcullis/kernel'

export const exitCodes = {
  /** The command line or a setting is wrong. */
  usage: 1,
  /** A file of ours cannot be used as it is. */
  file: 1,
  /** The gate, or who was asked in its place, said no. */
  refused: 2,
  /** No answer, none in time, or one that is none of the gate's. */
  unreachable: 3,
  /** There is nothing here to prove oneself with, or it is over. */
  not_signed_in: 4,
  /** A program that it takes is not on this machine. */
  no_program: 5,
  /** This gate has no such door yet. */
  no_door: 5,
  /** The gate is not configured for it. */
  not_offered: 5,
} as const

export type CliErrorCode = keyof typeof exitCodes

export class CliError extends CodedError<CliErrorCode> {
  /** What to do about it. */
  readonly hint: string
  constructor(code: CliErrorCode, message: string, hint: string, options?: ErrorOptions) {
    super(code, message, options)
    this.hint = hint
  }
  get exitCode(): number {
    return exitCodes[this.code]
  }
}

/** What others wrote may move the cursor or fake a line; what is shown of it is one line of characters that show. */
export function shown(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').slice(0, 500)
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
