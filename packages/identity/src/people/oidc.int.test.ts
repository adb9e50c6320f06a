/** Sign-in with a real OpenID provider, and every way in which an answer is not this browser's. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { after, test } from 'node:test'
import { systemClock } from '@portcullis/kernel'
import { createBrowser, formOf } from '@portcullis/testkit/browser'
import { startOidcProvider } from '@portcullis/testkit/oidc-idp'
import { createSignIn, type ProviderConfig, SignInError, type SignInErrorCode, type SignIn } from './index.ts'

const publicUrl = 'http://127.0.0.1:1'
const callback = (name: string) => `${publicUrl}/sign-in/${name}/callback`
const people = {
  alice: {
    name: 'Alice',
    email: 'alice@corp.example',
    groups: ['sre', 'on call'],
    realm: { roles: ['r1'] },
    tenant: 't1',
  },
  refused: {},
}
const idp = await startOidcProvider({
  people,
  clientId: 'portcullis',
  clientSecret: 'a secret of the test',
  redirectUris: [callback('corp'), callback('other')],
})
const lean = await startOidcProvider({
  people,
  clientId: 'portcullis',
  clientSecret: 'a secret of the test',
  redirectUris: [callback('lean')],
  claimsInIdToken: false,
  algorithm: 'RS256',
})
after(() => Promise.all([idp.stop(), lean.stop()]))

const corp = {
  kind: 'oidc' as const,
  name: 'corp',
  title: 'Corp',
  issuer: idp.value.issuer,
  clientId: 'portcullis',
  clientSecret: 'a secret of the test',
}

function signInWith(
  overrides: object = {},
  options: { clock?: { nowUs(): number }; transactionSec?: number } = {},
): SignIn {
  const config: ProviderConfig = { ...corp, ...overrides }
  return createSignIn({
    publicUrl,
    key: randomBytes(32),
    providers: [config],
    clock: systemClock,
    ...options,
  })
}

/** What the browser brings back, and its cookie. */
async function answerOf(signIn: SignIn, { name = 'corp', login = 'alice', returnTo = '/' } = {}) {
  const browser = createBrowser()
  const begun = await signIn.begin(name, returnTo)
  const page = await browser.follow(await browser.get(begun.url), callback(name))
  assert.ok(typeof page !== 'string', 'the provider asks who it is')
  const back = await browser.follow(await browser.post(formOf(page).action, { login }), callback(name))
  assert.ok(typeof back === 'string', `the provider sends the browser back, not ${JSON.stringify(back)}`)
  return { url: back, transaction: begun.transaction, begun }
}

const finish = (signIn: SignIn, url: string, transaction: string | undefined, name = 'corp') =>
  signIn.finish(name, { kind: 'query', url }, transaction)

async function refused(work: Promise<unknown>, code: SignInErrorCode): Promise<SignInError> {
  const error = await work.then(
    () => assert.fail(`accepted, where ${code} was expected`),
    (error: unknown) => error,
  )
  assert.ok(error instanceof SignInError, String(error))
  assert.equal(error.code, code, error.message)
  return error
}

test('a person comes back as who they are, to where they wanted to go', async () => {
  const signIn = signInWith({ maxAgeSec: 60 })
  const { url, transaction, begun } = await answerOf(signIn, { returnTo: '/sessions?target=shop' })
  const asked = new URL(begun.url).searchParams
  assert.equal(asked.get('code_challenge_method'), 'S256')
  assert.equal(asked.get('redirect_uri'), callback('corp'))
  for (const name of ['state', 'nonce', 'code_challenge'])
    assert.ok((asked.get(name) ?? '').length >= 43, name)
  assert.ok(transaction.length <= 2048)
  const { person, returnTo, provider } = await finish(signIn, url, transaction)
  assert.ok(Math.abs((person.authTimeUs ?? 0) - systemClock.nowUs()) < 60e6, 'when they signed in')
  assert.deepEqual(
    { ...person, authTimeUs: undefined },
    {
      issuer: idp.value.issuer,
      subject: 'alice',
      name: 'Alice',
      email: 'alice@corp.example',
      groups: ['sre', 'on call'],
      authTimeUs: undefined,
      acr: 'urn:test:password',
      amr: ['pwd'],
      sessionEndsUs: undefined,
    },
  )
  assert.deepEqual([returnTo, provider], ['/sessions?target=shop', 'corp'])
})

test('groups by a path, pinned claims, and claims of userinfo where the ID token has none', async () => {
  const byPath = signInWith({ groupsClaim: 'realm.roles', requiredClaims: { tenant: ['t1'] } })
  const first = await answerOf(byPath)
  assert.deepEqual((await finish(byPath, first.url, first.transaction)).person.groups, ['r1'])
  const elsewhere = signInWith({ requiredClaims: { tenant: ['t2'] } })
  const second = await answerOf(elsewhere)
  await refused(finish(elsewhere, second.url, second.transaction), 'not_allowed')

  const leanly = (userinfo: boolean) => signInWith({ name: 'lean', issuer: lean.value.issuer, userinfo })
  for (const [userinfo, groups] of [
    [false, []],
    [true, ['sre', 'on call']],
  ] as const) {
    const signIn = leanly(userinfo)
    const { url, transaction } = await answerOf(signIn, { name: 'lean' })
    assert.deepEqual((await finish(signIn, url, transaction, 'lean')).person.groups, groups)
  }
})

test('an answer is for one browser, one provider and one use', async () => {
  const other = { ...corp, name: 'other' }
  const signIn = createSignIn({
    publicUrl,
    key: randomBytes(32),
    providers: [corp, other],
    clock: systemClock,
  })
  const mine = await answerOf(signIn)
  const theirs = await answerOf(signIn)
  await refused(finish(signIn, mine.url, undefined), 'transaction_invalid')
  await refused(finish(signIn, mine.url, 'v1.AAAA'), 'transaction_invalid')
  await refused(finish(signIn, mine.url, `${mine.transaction.slice(0, -2)}AA`), 'transaction_invalid')
  await refused(finish(signInWith(), mine.url, mine.transaction), 'transaction_invalid')
  // Login forgery: the attacker's answer in my browser.
  await refused(finish(signIn, theirs.url, mine.transaction), 'mismatch')
  // Mix-up: my answer at the address of another provider, with either cookie.
  const moved = mine.url.replace('/corp/', '/other/')
  await refused(finish(signIn, moved, mine.transaction, 'other'), 'transaction_invalid')
  await refused(finish(signIn, moved, mine.transaction), 'mismatch')
  await finish(signIn, mine.url, mine.transaction)
  await refused(finish(signIn, mine.url, mine.transaction), 'transaction_used')
})

test('state, iss and code are taken once each, and iss is never left out', async () => {
  const signIn = signInWith()
  const change = async (edit: (query: URLSearchParams) => void, code: SignInErrorCode) => {
    const { url, transaction } = await answerOf(signIn)
    const changed = new URL(url)
    edit(changed.searchParams)
    const error = await refused(finish(signIn, changed.href, transaction), code)
    assert.ok(!error.message.includes(new URL(url).searchParams.get('code') ?? '-'), 'no code in the log')
  }
  await change((query) => query.set('state', 'x'), 'mismatch')
  await change((query) => query.delete('state'), 'mismatch')
  await change((query) => query.append('state', 'x'), 'malformed')
  await change((query) => query.set('iss', 'https://evil.example'), 'mismatch')
  await change((query) => query.delete('iss'), 'mismatch')
  await change((query) => query.append('iss', 'https://evil.example'), 'malformed')
  await change((query) => query.append('code', 'x'), 'malformed')
  await change((query) => query.set('code', 'x'), 'provider_refused')
  await change((query) => query.set('pad', 'x'.repeat(20_000)), 'too_large')
  const stolen = await answerOf(signIn)
  const { transaction } = await answerOf(signIn)
  const mixed = new URL(stolen.url)
  mixed.searchParams.set('state', new URL((await answerOf(signIn)).url).searchParams.get('state') ?? '')
  await refused(finish(signIn, mixed.href, transaction), 'mismatch')
})

test("a code of another browser is no use: the verifier is this browser's", async () => {
  const signIn = signInWith()
  const victim = await answerOf(signIn)
  const attacker = await answerOf(signIn)
  const injected = new URL(attacker.url)
  injected.searchParams.set('code', new URL(victim.url).searchParams.get('code') ?? '')
  await refused(finish(signIn, injected.href, attacker.transaction), 'provider_refused')
})

test('what the provider refuses, signs otherwise or did too long ago', async () => {
  const signIn = signInWith()
  const no = await answerOf(signIn, { login: 'refused' })
  const error = await refused(finish(signIn, no.url, no.transaction), 'provider_refused')
  assert.match(error.message, /access_denied/)
  await refused(signInWith({ algorithms: ['RS512'] }).begin('corp', '/'), 'config')
  for (const algorithms of [['HS256'], ['none'], []])
    assert.throws(() => signInWith({ algorithms }), { code: 'config' })
  assert.throws(() => signInWith({ parameters: { redirect_uri: 'https://evil.example' } }), {
    code: 'config',
  })
  assert.throws(() => signInWith({ issuer: 'http://idp.example' }), { code: 'config' })
  const strict = signInWith({ acrValues: ['urn:test:hardware'] })
  const weak = await answerOf(strict)
  await refused(finish(strict, weak.url, weak.transaction), 'too_weak')
  const wrongSecret = signInWith({ clientSecret: 'wrong' })
  const one = await answerOf(wrongSecret)
  const words = await refused(finish(wrongSecret, one.url, one.transaction), 'config')
  assert.match(words.message, /invalid_client/)
})

test('a transaction ends', async () => {
  let offsetUs = 0
  const clock = { nowUs: () => systemClock.nowUs() + offsetUs }
  const signIn = signInWith({}, { clock, transactionSec: 60 })
  const { url, transaction } = await answerOf(signIn)
  offsetUs = 60e6
  await refused(finish(signIn, url, transaction), 'transaction_expired')
})

test('a provider that is away, hangs up, drips, redirects or lies is a clear error and no wait', async () => {
  await refused(signInWith({ issuer: 'http://127.0.0.1:1' }).begin('corp', '/'), 'provider_unavailable')
  const answers: Record<string, (issuer: string) => { status: number; body: string; location?: string }> = {
    empty: () => ({ status: 200, body: '' }),
    notJson: () => ({ status: 200, body: '<html>' }),
    huge: () => ({ status: 200, body: 'x'.repeat(2_000_000) }),
    error: () => ({ status: 503, body: '' }),
    redirect: () => ({
      status: 302,
      body: '',
      location: `${idp.value.issuer}/.well-known/openid-configuration`,
    }),
    other: () => ({ status: 200, body: JSON.stringify({ issuer: idp.value.issuer }) }),
  }
  for (const [name, answer] of Object.entries(answers)) {
    const server = createServer((_, response) => {
      const { status, body, location } = answer(issuer)
      response
        .writeHead(status, { 'content-type': 'application/json', ...(location ? { location } : {}) })
        .end(body)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const issuer = `http://127.0.0.1:${(server.address() as { port: number }).port}`
    try {
      const expected = name === 'other' ? 'config' : 'provider_unavailable'
      await refused(signInWith({ issuer }).begin('corp', '/'), expected)
    } finally {
      server.close()
      server.closeAllConnections()
    }
  }
})
