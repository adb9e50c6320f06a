/** For tests: what a client is told of a refusal that has to do with people. */
import assert from 'node:assert/strict'
import type { Approval } from '@portcullis/kernel'

export interface Told {
  readonly code?: string | undefined
  readonly detail?: string | undefined
  readonly hint?: string | undefined
}

/** For `assert.rejects`: this SQLSTATE, reason, and the approval where one is meant. */
export const refused = (code: string, reason: string, approval?: Approval) => (error: unknown) => {
  const told = error as Told
  assert.equal(told.code, code, `${JSON.stringify(error)} ${(error as Error).message}`)
  assert.match(told.detail ?? '', new RegExp(`reason=${reason} `))
  if (approval) assert.match(told.detail ?? '', new RegExp(`approval=${approval.approvalId}`))
  return true
}
