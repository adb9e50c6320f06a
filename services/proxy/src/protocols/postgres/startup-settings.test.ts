import assert from 'node:assert/strict'
import { test } from 'node:test'
import { refusedSetting } from './startup-settings.ts'

const refused: [Record<string, string>, string, string][] = [
  [{ role: 'admin' }, '', 'role'],
  [{ ROLE: 'admin' }, '', 'ROLE'],
  [{ session_authorization: 'admin' }, '', 'session_authorization'],
  [{}, '-c role=admin', 'role'],
  [{}, '-crole=admin', 'role'],
  [{}, '--role=admin', 'role'],
  [{}, '--session-replication-role=replica', 'session_replication_role'],
  [{}, '-c  search_path=a -c\tRole=admin', 'Role'],
  [{}, '-c ro\\le=admin', 'role'],
  [{}, '-c a=b\\ c --role=x', 'role'],
  [{}, '-O', '-O'],
  [{}, '-c', '-c'],
]
for (const [parameters, options, name] of refused)
  test(`${JSON.stringify(parameters)} ${JSON.stringify(options)} asks for what a command must ask for`, () =>
    assert.equal(refusedSetting(parameters, options), name))

test('what drivers ask for at start-up passes', () => {
  const usual = { client_encoding: 'UTF8', DateStyle: 'ISO', extra_float_digits: '2', TimeZone: 'UTC' }
  assert.equal(refusedSetting(usual, '-c statement_timeout=5s --search-path=a\\ b,c -c my.role=x'), undefined)
})
