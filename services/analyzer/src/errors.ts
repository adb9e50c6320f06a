import { CodedError } from '@portcullis/kernel'

export type AnalyzerErrorCode =
  /** A statistic was asked for outside its domain, or did not converge: a bug, never bad input. */
  | 'numeric'
  /** A snapshot on the baselines topic cannot be read. */
  | 'snapshot'
  /** A record was offered to a partition this process does not hold. */
  | 'not_assigned'

export class AnalyzerError extends CodedError<AnalyzerErrorCode> {}
