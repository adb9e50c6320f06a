import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ClickHouseError } from '@clickhouse/client'
import { AuditError } from './errors.ts'
import { auditErrorOf, isTransient } from './failures.ts'

const server = (code: string, type: string) => new ClickHouseError({ message: 'words', code, type })
const network = (code: string) => Object.assign(new Error('connect failed'), { code })

test('what may pass is told apart from what will not', () => {
  const cases: readonly [Error, AuditError['code'], boolean][] = [
    [server('202', 'TOO_MANY_SIMULTANEOUS_QUERIES'), 'unavailable', true],
    [server('252', 'TOO_MANY_PARTS'), 'unavailable', true],
    [server('159', 'TIMEOUT_EXCEEDED'), 'timeout', true],
    [server('516', 'AUTHENTICATION_FAILED'), 'denied', false],
    [server('27', 'CANNOT_PARSE_INPUT_ASSERTION_FAILED'), 'invalid_data', false],
    [server('60', 'UNKNOWN_TABLE'), 'refused', false],
    [network('ECONNREFUSED'), 'unavailable', true],
    [network('ECONNRESET'), 'unavailable', true],
    [new Error('socket hang up'), 'unavailable', true],
    [new Error('Timeout error.'), 'timeout', true],
    [new Error('The user aborted a request.'), 'cancelled', false],
    [new Error('anything else'), 'refused', false],
  ]
  for (const [cause, code, transient] of cases) {
    const error = auditErrorOf(cause, 'query')
    assert.equal(error.code, code, cause.message)
    assert.equal(isTransient(error), transient)
    assert.equal(error.cause, cause)
  }
  assert.equal(auditErrorOf(server('60', 'UNKNOWN_TABLE'), 'query').clickhouse, 60)
  const known = new AuditError('closed', 'x')
  assert.equal(auditErrorOf(known, 'query'), known)
})
