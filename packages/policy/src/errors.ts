import { CodedError } from '@portcullis/kernel'

export class PolicyError extends CodedError<'invalid' | 'unreadable'> {
  /** One line a mistake: `FILE:LINE:COLUMN: path: what is wrong`. */
  readonly problems: readonly string[]

  constructor(
    problems: readonly string[],
    code: 'invalid' | 'unreadable' = 'invalid',
    options?: ErrorOptions,
  ) {
    super(code, problems.join('\n'), options)
    this.problems = problems
  }
}
