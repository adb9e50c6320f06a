import { CodedError } from '@portcullis/kernel'

export class ConfigError extends CodedError<'unreadable' | 'invalid' | 'secret'> {
  /** One line a mistake: `FILE:LINE:COLUMN: path: what is wrong`. */
  readonly problems: readonly string[]

  static unreadable(what: string, cause: unknown): ConfigError {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'error'
    return new ConfigError('secret', [`${what}: ${words[code] ?? `cannot be read (${code})`}`], { cause })
  }

  constructor(
    code: 'unreadable' | 'invalid' | 'secret',
    problems: readonly string[],
    options?: ErrorOptions,
  ) {
    super(code, problems.join('\n'), options)
    this.problems = problems
  }
}

const words: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'this user may not read it',
  EISDIR: 'is a directory, not a file',
}
