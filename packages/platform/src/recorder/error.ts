import { CodedError } from '@portcullis/kernel'

/**
 * unavailable: it cannot be recorded now (disk full, disk error, backlog at its limit).
 * corrupt: bytes that passed their checksum do not read as this version's records.
 * locked: another agent owns the directory.
 * invalid: a call that the contract forbids, such as an intent for a session that was never opened.
 */
export type RecorderErrorCode = 'unavailable' | 'corrupt' | 'locked' | 'invalid'

export class RecorderError extends CodedError<RecorderErrorCode> {}
