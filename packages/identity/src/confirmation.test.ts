import assert from 'node:assert/strict'
import { test } from 'node:test'
import { confirmationOf } from './confirmation.ts'
import { IdentityError } from './errors.ts'

const print = 'A'.repeat(43)

test('a binding that is known is read, a bearer token has none', () => {
  assert.equal(confirmationOf({}), undefined)
  for (const cnf of [{ jkt: print }, { 'x5t#S256': print }, { jkt: print, 'x5t#S256': print }])
    assert.deepEqual(confirmationOf({ cnf }), cnf)
})

test('a binding of a kind that is not known is not overlooked', () => {
  const unknown = [{ jkt: 'x' }, { jkt: 7 }, {}, null, [], 'jkt', { jwk: {} }, { jkt: print, kid: 'a' }]
  for (const cnf of unknown)
    assert.throws(
      () => confirmationOf({ cnf }),
      (error) => error instanceof IdentityError && error.code === 'bound_to_key',
      JSON.stringify(cnf),
    )
})
