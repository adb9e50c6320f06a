import assert from 'node:assert/strict'
import { test } from 'node:test'
import { format, inspect } from 'node:util'
import { Secret } from './index.ts'

test('a secret shows itself to whoever reveals it and to nobody else', () => {
  const secret = new Secret('canary')
  const holder = { secret, list: [secret] }
  const shown = [
    `${secret}`,
    `x${secret}`,
    JSON.stringify(holder),
    inspect(holder, { depth: null, showHidden: true }),
    format('%s %o %j %d', secret, secret, secret, secret),
    String(Object.entries(secret)),
    JSON.stringify(structuredClone({ ...secret })),
    new Error('no', { cause: secret }).stack + inspect(new Error('no', { cause: secret })),
  ]
  for (const text of shown) assert.doesNotMatch(text, /canary/)
  assert.match(shown[2] ?? '', /\*\*\*/)
  assert.equal(secret.reveal(), 'canary')
  assert.ok(secret.equals(new Secret('canary')))
})
