/** The small parts of sign-in that need no provider. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { formOf } from '@portcullis/testkit/browser'
import fc from 'fast-check'
import {
  type SignInErrorCode,
  createUsedOnce,
  formPage,
  isAtLeast,
  peopleRoles,
  rolesOf,
  safeReturnTo,
  sentenceFor,
} from './index.ts'
import { personOfClaims } from './oidc-person.ts'
import { createTransactions } from './transaction.ts'

test('one goes back to a path on this origin, and nowhere else', () => {
  for (const good of ['/', '/sessions', '/commands?target=shop&cursor=a%2Fb', '/live#x', '/a//b'])
    assert.equal(safeReturnTo(good), good)
  const bad = [
    '',
    'x',
    '//evil.example',
    '///evil.example',
    '/\\evil.example',
    '\\\\evil.example',
    '/\t/evil.example',
    '/\n/evil.example',
    'https://evil.example',
    'javascript:alert(1)',
    '/.//evil.example',
    '/..//evil.example',
    '/a/..//evil.example',
    '/%5Cevil\\',
    '/x\u0000',
    '/ä',
    ' /x',
    `/${'x'.repeat(2000)}`,
  ]
  for (const one of bad) assert.equal(safeReturnTo(one), '/', JSON.stringify(one))
})

test('whatever is asked for, a browser stays here', () => {
  const pieces = fc.constantFrom(
    '/',
    '\\',
    '.',
    '..',
    '\t',
    '\n',
    '%2f',
    '@',
    ':',
    '?',
    '#',
    'evil.example',
    'http:',
    'a',
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 8 }), (parts) => {
      const path = safeReturnTo(parts.join(''))
      assert.equal(new URL(path, 'https://gate.example').origin, 'https://gate.example')
    }),
    { numRuns: 5000 },
  )
})

const content = { state: 's', redirectUri: 'https://gate.example/cb', returnTo: '/' }
const clockAt = (start: number) => {
  const clock = { us: start, nowUs: () => clock.us }
  return clock
}

test('a sealed transaction opens for its provider only, unchanged, in its time, and is used once', async () => {
  const clock = clockAt(1e15)
  const transactions = createTransactions({
    key: randomBytes(32),
    lifeSec: 60,
    clock,
    used: createUsedOnce(clock),
  })
  const { sealed, expiresAtUs } = transactions.seal('corp', content)
  assert.equal(expiresAtUs, 1e15 + 60e6)
  assert.ok(!Buffer.from(sealed.slice(3), 'base64url').includes('gate.example'))
  assert.equal(transactions.open('corp', sealed).state, 's')
  assert.throws(() => transactions.open('other', sealed), { code: 'transaction_invalid' })
  const bytes = Buffer.from(sealed.slice(3), 'base64url')
  for (const at of [0, 12, 20, bytes.length - 1]) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] ?? 0) ^ 1
    assert.throws(() => transactions.open('corp', `v1.${changed.toString('base64url')}`), {
      code: 'transaction_invalid',
    })
  }
  for (const odd of ['', 'v1.', 'v1.AA', `v2.${sealed.slice(3)}`, 'x'.repeat(5000)])
    assert.throws(() => transactions.open('corp', odd), { code: 'transaction_invalid' })
  await transactions.open('corp', sealed).use()
  await assert.rejects(transactions.open('corp', sealed).use(), { code: 'transaction_used' })
  clock.us += 60e6
  assert.throws(() => transactions.open('corp', sealed), { code: 'transaction_expired' })
  assert.throws(
    () => createTransactions({ key: randomBytes(16), lifeSec: 60, clock, used: createUsedOnce(clock) }),
    { code: 'config' },
  )
})

test('a sealed transaction fits a cookie, however long the way back', () => {
  const clock = clockAt(1e15)
  const transactions = createTransactions({
    key: randomBytes(32),
    lifeSec: 60,
    clock,
    used: createUsedOnce(clock),
  })
  const random = 'r'.repeat(43)
  const longest = {
    state: random,
    nonce: random,
    codeVerifier: random,
    returnTo: safeReturnTo(`/${'x'.repeat(1023)}`),
  }
  assert.equal(longest.returnTo.length, 1024)
  const redirectUri = `https://portcullis.example/sign-in/${'n'.repeat(63)}/callback`
  assert.ok(transactions.seal('corp', { ...longest, redirectUri }).sealed.length <= 2048)
})

test('what was used is remembered until its time, and never forgotten for want of room', async () => {
  const clock = clockAt(0)
  const used = createUsedOnce(clock, 2)
  assert.deepEqual(
    [await used.claim('a', 10), await used.claim('a', 10), await used.claim('b', 20)],
    [true, false, true],
  )
  await assert.rejects(used.claim('c', 30))
  assert.equal(await used.claim('a', 10), false)
  clock.us = 10
  assert.equal(await used.claim('c', 30), true)
  assert.equal(await used.claim('b', 20), false)
})

test('roles are a ladder, and only the groups that are mapped give any', () => {
  const byGroup = { sre: 'responder', leads: 'approver', all: 'viewer' } as const
  assert.deepEqual(rolesOf(['all', 'leads', 'x', 'leads'], byGroup), ['approver', 'viewer'])
  assert.deepEqual(rolesOf(['constructor', '__proto__', 'toString'], byGroup), [])
  for (const [index, role] of peopleRoles.entries())
    assert.deepEqual(
      peopleRoles.map((needed) => isAtLeast(role, needed)),
      [0, 1, 2, 3].map((n) => n <= index),
    )
})

test('claims of a person: what is shown is made fit to be shown, what decides must be plain', () => {
  const rules = { issuer: 'https://idp.example', clientId: 'gate' }
  const person = personOfClaims(
    {
      sub: 's',
      name: `A\u202Eevil\n${'x'.repeat(300)}`,
      email: 7,
      groups: ['g'],
      amr: 'pwd',
      auth_time: 'x',
    },
    rules,
  )
  assert.equal(person.name, `Aevil${'x'.repeat(195)}`)
  assert.deepEqual([person.email, person.amr, person.authTimeUs], ['', [], undefined])
  const refusals: [object, SignInErrorCode][] = [
    [{}, 'claim_missing'],
    [{ sub: '' }, 'claim_missing'],
    [{ sub: 7 }, 'claim_invalid'],
    [{ sub: 'a\u200Bb' }, 'claim_invalid'],
    [{ sub: 'a\u0000b' }, 'claim_invalid'],
    [{ sub: 'a', groups: { a: 1 } }, 'claim_invalid'],
    [{ sub: 'a', groups: [7] }, 'claim_invalid'],
    [{ sub: 'a', act: { sub: 'b' } }, 'claim_invalid'],
    // Microsoft's overage: a missing list is not an empty one.
    [{ sub: 'a', _claim_names: { groups: 'src1' }, _claim_sources: {} }, 'claim_missing'],
  ]
  for (const [claims, code] of refusals)
    assert.throws(() => personOfClaims({ ...claims }, rules), { code }, JSON.stringify(claims))
})

test('a person is told the same of everything that looks like an attack', () => {
  const attacks: SignInErrorCode[] = [
    'mismatch',
    'structure',
    'bad_signature',
    'decryption',
    'forbidden_xml',
    'replayed',
    'algorithm',
    'unsigned',
  ]
  assert.equal(new Set(attacks.map(sentenceFor)).size, 1)
})

test('the page that posts a request holds its fields unchanged and runs nothing but its own script', () => {
  const fields = { SAMLRequest: 'a+/=', RelayState: `"><script>alert(1)</script>&'` }
  const { html, contentSecurityPolicy } = formPage('https://idp.example/sso?a=1&b=2', fields)
  const form = formOf({ url: 'https://gate.example/', text: html })
  assert.deepEqual(form, { action: 'https://idp.example/sso?a=1&b=2', fields })
  const scripts = [...html.matchAll(/<script>(.*?)<\/script>/g)].map(([, text = '']) => text)
  assert.equal(scripts.length, 1)
  const hash = createHash('sha256')
    .update(scripts[0] ?? '')
    .digest('base64')
  assert.ok(
    contentSecurityPolicy.includes(`script-src 'sha256-${hash}'; form-action https: https://idp.example;`),
  )
})
