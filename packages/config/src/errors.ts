import { CodedError } from '@portcullis/kernel'

export class ConfigError extends CodedError<'unreadable' | 'invalid' | 'secret'> {
  /** One line a mistake: `FILE:LINE:COLUMN: path: what is wrong`. */
  readonly problems: readonly string[]
  constructor(
    code: 'unreadable' | 'invalid' | 'secret',
    problems: readonly string[],
    options?: ErrorOptions,
  ) {
    super(code, problems.join('\n'), options)
    this.problems = problems
  }
}
