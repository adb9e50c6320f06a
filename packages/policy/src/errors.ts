import { CodedError } from '@portcullis/kernel'

export class PolicyError extends CodedError<'invalid'> {
  /** One line a mistake: `FILE:LINE:COLUMN: path: what is wrong`. */
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super('invalid', problems.join('\n'))
    this.problems = problems
  }
}
