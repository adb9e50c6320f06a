import { CodedError } from '@portcullis/kernel'

export type SqlErrorCode = 'option_invalid' | 'grammar_unavailable'

/** The one error class of this package. `analyze` throws none of these for any input; only wrong use does. */
export class SqlError extends CodedError<SqlErrorCode> {}
