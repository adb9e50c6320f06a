/** What a command is: its words, its options, and what it does with an environment that it is handed. */
import type { ParseArgsOptionsConfig } from 'node:util'

export type Options = Readonly<Record<string, string | boolean | readonly string[] | undefined>>

export interface Command {
  /** Words after `portcullis`, such as `targets list`. */
  readonly name: string
  readonly summary: string
  /** What follows the name, such as `TARGET [--role R]`. */
  readonly usage: string
  /** A line a command or an option. */
  readonly details?: readonly string[]
  readonly example: string
  readonly options?: ParseArgsOptionsConfig
  /** How many words it takes, at least and at most. */
  readonly words?: readonly [number, number]
  /** Whether what follows `--` is for another program. */
  readonly passesOn?: true
  /** Returns the exit code; throws CliError. */
  run(call: Call): Promise<number>
}

export interface Call {
  readonly words: readonly string[]
  readonly options: Options
  /** What followed `--`. */
  readonly passedOn: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly out: Out
  /** Aborted by Ctrl-C or SIGTERM. */
  readonly interrupted: AbortSignal
}

/** Where results and remarks go. With `--json` a result is one line of JSON, and remarks are left out. */
export interface Out {
  readonly json: boolean
  readonly isTerminal: boolean
  /** The result, on stdout: `text` for people, `value` with --json. */
  result(value: object, text: string): void
  /** On stderr, for people alone. */
  remark(text: string): void
  bold(text: string): string
}

/** Options that every command takes. */
export const common = {
  url: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const satisfies ParseArgsOptionsConfig

export function textOption(options: Options, name: string): string | undefined {
  const value = options[name]
  return typeof value === 'string' ? value : undefined
}

export function textsOption(options: Options, name: string): readonly string[] {
  const value = options[name]
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []
}
