import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createScram, md5Password, ScramError } from './scram.ts'
import { deriveKeys } from './scram-keys.ts'

/** RFC 7677, section 3, but for the user name, which PostgreSQL leaves empty; proofs computed by Python's hashlib and hmac. */
const serverFirst = 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096'

test('the proof extends the server nonce and changes with the password', async () => {
  const one = createScram('pencil', deriveKeys, 'rOprNGfwEbeRWgbNEkqO')
  assert.equal(one.clientFirst, 'n,,n=,r=rOprNGfwEbeRWgbNEkqO')
  const answer = await one.respond(serverFirst)
  assert.equal(
    answer,
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=qvT2SWdEH5Q06albL+hjSYuUhCG7VndFyzIb7CK4n9k=',
  )
  assert.doesNotThrow(() => one.verify('v=3HO6Qt1M4MKJrmlKaoOqLAI0/0TV0HZe7J9H3MBtSOg='))
  assert.notEqual(
    await createScram('pencils', deriveKeys, 'rOprNGfwEbeRWgbNEkqO').respond(serverFirst),
    answer,
  )
})

test('a server that does not know the password, repeats our nonce, or asks for years of work is refused', async () => {
  const scram = createScram('pencil', deriveKeys, 'abc')
  await assert.rejects(scram.respond('r=xyz,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096'), ScramError)
  await assert.rejects(scram.respond('r=abc,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096'), ScramError)
  await assert.rejects(scram.respond('r=abcd,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=400000000'), ScramError)
  await assert.rejects(scram.respond('r=abcd,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=x'), ScramError)
  await scram.respond('r=abcd,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096')
  assert.throws(() => scram.verify('v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='), ScramError)
  assert.throws(() => scram.verify('e=other-error'), ScramError)
  assert.throws(
    () => createScram('pencil', deriveKeys).verify('v='),
    ScramError,
    'not before the proof was sent',
  )
})

test('md5: md5(md5(password + user) + salt)', () => {
  assert.equal(md5Password('app', 'secret', Buffer.from([1, 2, 3, 4])), 'md5911f527656472583a006e7727877b33e')
})
