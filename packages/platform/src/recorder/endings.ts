/** What stands for an answer that nobody will ever give. */
import type { CommandResult, Decision } from '@portcullis/kernel'

export const unknownResult: CommandResult = {
  outcome: 'unknown',
  stage: 'run',
  errorCode: '',
  tag: '',
  rowsIn: 0,
  rowsOut: 0,
  rowsAffected: 0,
  bytesIn: 0,
  bytesOut: 0,
}

/** Nobody decided that the session should end. */
export const ended: Decision = {
  id: '',
  action: 'allow',
  reason: '',
  rule: '',
  verdictId: '',
  approvalId: '',
  policyVersion: '',
  enforced: true,
  delayUs: 0,
}
