/** People sign in at two replicas of the API by real providers; and what else might be tried. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { type Browser, createBrowser, formOf, type Page } from '@portcullis/testkit/browser'
import { eventually, tokens } from '../test-api.ts'
import { type PeopleBed, startPeopleBed } from './test-bed.ts'

let started: Started<PeopleBed>
let bed: PeopleBed
before(async () => {
  started = await startPeopleBed()
  bed = started.value
})
after(() => started.stop())

/** Up to the provider's answer, which is not delivered yet. */
async function toCallback(browser: Browser, login: string, { provider = 'corp', returnTo = '' } = {}) {
  const begin = `${bed.url}/sign-in/${provider}${returnTo && `?return=${encodeURIComponent(returnTo)}`}`
  const back = `${bed.url}/sign-in/${provider}/callback`
  const page = await browser.follow(await browser.get(begin), back)
  if (typeof page === 'string') return page
  const url = await browser.follow(await browser.post(formOf(page).action, { login }), back)
  assert.ok(typeof url === 'string', 'the provider sent the browser back')
  return url
}

async function signIn(login: string, options: { provider?: string; returnTo?: string } = {}) {
  const browser = createBrowser()
  const landed = await browser.get(await toCallback(browser, login, options))
  return { browser, landed, cookie: cookieOf(landed) }
}

async function samlSignIn(browser = createBrowser()) {
  const asked = await browser.follow(
    await browser.get(`${bed.url}/sign-in/old?return=/device`),
    `${bed.url}/x`,
  )
  assert.ok(typeof asked !== 'string')
  const login = formOf(asked)
  const answer = formOf(await browser.post(login.action, { ...login.fields, login: 'ann@old.example' }))
  assert.equal(answer.action, `${bed.url}/sign-in/old/acs`)
  let landed = asked
  const sent = await cookiesOf(async () => {
    landed = await browser.post(answer.action, answer.fields)
  })
  return { browser, answer, landed, sent }
}

function setCookies({ headers }: Pick<Page, 'headers'>): string[] {
  return headers.getSetCookie()
}
function cookieOf(page: Pick<Page, 'headers'>): string {
  return (
    setCookies(page)
      .find((line) => line.startsWith('portcullis='))
      ?.split(';')[0] ?? ''
  )
}
async function whoami(cookie: string, url = bed.url) {
  const response = await fetch(`${url}/v1/whoami`, { headers: { cookie } })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

test('a person signs in by OpenID Connect and is known at every replica, after a restart too', async () => {
  const { landed, cookie } = await signIn('ann', { returnTo: '/device?user_code=BCDF-GHJK' })
  assert.equal(landed.status, 303)
  assert.equal(landed.headers.get('location'), '/device?user_code=BCDF-GHJK')
  for (const url of [bed.url, bed.other]) {
    const { status, body } = await whoami(cookie, url)
    assert.equal(status, 200)
    const { expiresAt, csrf, ...who } = body
    assert.deepEqual(who, {
      scope: '',
      ...{ issuer: bed.providers.oidc, subject: 'ann', name: 'Ann Example', email: 'ann@corp.example' },
      ...{ groups: ['oncall', 'staff'], roles: ['responder'], role: 'responder', task: '', delegation: [] },
    })
    assert.match(String(csrf), /^[\w-]{43}$/)
    const leftMs = Date.parse(String(expiresAt)) - Date.now()
    assert.ok(leftMs > 3_500_000 && leftMs <= 3_600_000, `${leftMs} ms are left`)
  }
  await bed.restart()
  assert.equal((await whoami(cookie)).status, 200)
  const [event] = bed.events('signed_in')
  assert.equal(event?.subject, 'ann')
  assert.equal(event?.provider, 'corp')
  assert.equal(event?.requestId, landed.headers.get('x-request-id'))
})

test('a person signs in by SAML; their groups mean what that provider says', async () => {
  const { landed } = await samlSignIn()
  assert.equal(landed.status, 303, landed.text)
  assert.equal(landed.headers.get('location'), '/device')
  const { body } = await whoami(cookieOf(landed), bed.other)
  assert.equal(body.subject, 'ann@old.example')
  assert.equal(body.issuer, bed.providers.saml)
  assert.equal(body.role, 'viewer', 'oncall is a responder at the other provider only')
})

test('the cookies are for us alone, and signing in gives new ones whatever was there', async () => {
  const browser = createBrowser()
  const begun = await browser.get(`${bed.url}/sign-in/corp`)
  assert.match(
    setCookies(begun)[0] ?? '',
    /^portcullis-begin-corp=v1\.[\w.-]+; Max-Age=600; Path=\/; HttpOnly; SameSite=Lax$/,
  )
  const saml = await browser.get(`${bed.url}/sign-in/old`)
  assert.match(setCookies(saml)[0] ?? '', /; HttpOnly; SameSite=None; Secure$/)
  const first = await signIn('ann')
  const [session, gone] = setCookies(first.landed)
  assert.match(session ?? '', /^portcullis=a1\.[\w-]+; Max-Age=3\d{3}; Path=\/; HttpOnly; SameSite=Lax$/)
  assert.match(gone ?? '', /^portcullis-begin-corp=; Max-Age=0;/)
  const fixed = createBrowser()
  const callback = await toCallback(fixed, 'max')
  const landed = await fixed.get(callback)
  assert.notEqual(cookieOf(landed), first.cookie)
  // What an attacker put there before does not become anybody's: it is nobody's, or its own.
  assert.equal((await whoami('portcullis=a1.chosen-by-somebody')).status, 401)
  assert.equal((await whoami(`${first.cookie}; ${cookieOf(landed)}`)).status, 401, 'two of one name')
  const tampered = `${first.cookie.slice(0, -6)}AAAAAA`
  assert.equal((await whoami(tampered)).status, 401)
})

test('with a cookie a change needs what only our own page knows', async () => {
  const { cookie } = await signIn('max')
  const { body } = await whoami(cookie)
  const revoke = (headers: Record<string, string>) =>
    fetch(`${bed.url}/v1/signing-keys/rotate`, {
      method: 'POST',
      headers: { cookie, 'content-type': 'application/json', ...headers },
      body: '{"reason":"test"}',
    })
  for (const headers of [{}, { 'x-portcullis-csrf': '' }, { 'x-portcullis-csrf': 'A'.repeat(43) }]) {
    const refused = await revoke(headers as Record<string, string>)
    assert.equal(refused.status, 403)
    assert.match(await refused.text(), /x-portcullis-csrf/)
  }
  const another = await whoami((await signIn('ann')).cookie)
  assert.equal((await revoke({ 'x-portcullis-csrf': String(another.body.csrf) })).status, 403, "another's")
  assert.equal((await revoke({ 'x-portcullis-csrf': String(body.csrf) })).status, 201)
})

test('a person without a group that counts is known, and may nothing', async () => {
  const { cookie } = await signIn('zoe')
  assert.deepEqual((await whoami(cookie)).body.role, '')
  const refused = await fetch(`${bed.url}/v1/commands`, { headers: { cookie } })
  assert.equal(refused.status, 403)
})

test('signing out ends the session at every replica, also for who copied its cookie', async () => {
  const { browser, cookie } = await signIn('ann')
  const { csrf } = (await whoami(cookie)).body
  const forged = await fetch(`${bed.url}/sign-out`, { method: 'POST', headers: { cookie } })
  assert.equal(forged.status, 403, 'another site cannot sign a person out')
  const elsewhere = await fetch(`${bed.url}/sign-out`, {
    method: 'POST',
    headers: { cookie, origin: 'https://evil.example' },
    body: new URLSearchParams({ csrf: String(csrf) }),
  })
  assert.equal(elsewhere.status, 403)
  assert.equal((await whoami(cookie)).status, 200)
  const page = await browser.get(`${bed.url}/sign-in`)
  assert.match(page.text, /You are signed in/)
  const { action, fields } = formOf(page)
  const out = await browser.post(action, fields)
  assert.match(out.text, /You are signed out/)
  assert.match(setCookies(out)[0] ?? '', /^portcullis=; Max-Age=0/)
  await eventually(async () => (await whoami(cookie, bed.other)).status === 401)
  assert.equal((await whoami(cookie)).status, 401)
  await bed.restart()
  assert.equal((await whoami(cookie)).status, 401, 'a restart brings it back to nobody')
})

test('a live stream ends with its session, within two seconds', async () => {
  const { browser, cookie } = await signIn('ann')
  const stream = await fetch(`${bed.other}/v1/events`, { headers: { cookie } })
  assert.equal(stream.status, 200)
  const ended = stream.text()
  const { action, fields } = formOf(await browser.get(`${bed.url}/sign-in`))
  await browser.post(action, fields)
  const beganMs = performance.now()
  assert.match(await ended, /event: expired\ndata: .*signed out/)
  assert.ok(performance.now() - beganMs < 2_000)
})

test('a revocation reaches sessions that are open, and who is revoked does not come back', async () => {
  const { cookie } = await signIn('zoe')
  const stream = await fetch(`${bed.url}/v1/whoami`, { headers: { cookie } })
  assert.equal(stream.status, 200)
  const issued = await fetch(`${bed.url}/v1/revocations`, {
    method: 'POST',
    headers: { authorization: `Bearer ${tokens.responder}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      subject: { kind: 'identity', issuer: bed.providers.oidc, id: 'zoe' },
      durationSec: 600,
      reason: 'left',
    }),
  })
  assert.equal(issued.status, 201, await issued.clone().text())
  assert.equal((await whoami(cookie)).status, 403)
  await eventually(async () => (await whoami(cookie, bed.other)).status === 403)
  const browser = createBrowser()
  const refused = await browser.get(await toCallback(browser, 'zoe'))
  assert.equal(refused.status, 403)
  assert.match(refused.text, /Your access was stopped/)
  await eventually(async () => bed.events('refused').some(({ reason }) => reason === 'verdict'))
})

const astray = [
  'https://evil.example/',
  '//evil.example',
  '/\\evil.example',
  '/\t/evil.example',
  'javascript:alert(1)',
]
for (const returnTo of astray)
  test(`nobody is sent to ${JSON.stringify(returnTo)} after signing in`, async () => {
    const { browser, landed } = await signIn('ann', { returnTo })
    assert.equal(landed.headers.get('location'), '/sign-in')
    const again = await browser.get(`${bed.url}/sign-in?return=${encodeURIComponent(returnTo)}`)
    assert.equal(again.headers.get('location'), '/')
  })

const hostile: [string, () => Promise<Page>, string][] = [
  [
    'a callback that was used',
    async () => {
      const browser = createBrowser()
      const url = await toCallback(browser, 'ann')
      return get(url, await cookiesOf(() => browser.get(url)))
    },
    'transaction_used',
  ],
  [
    "another browser's answer",
    async () => {
      const mine = createBrowser()
      await mine.get(`${bed.url}/sign-in/corp`)
      return mine.get(await toCallback(createBrowser(), 'max'))
    },
    'mismatch',
  ],
  [
    'an answer that no browser asked for',
    async () => createBrowser().get(await toCallback(createBrowser(), 'max')),
    'transaction_invalid',
  ],
  [
    'a forged state',
    async () => {
      const browser = createBrowser()
      const url = new URL(await toCallback(browser, 'ann'))
      url.searchParams.set('state', 'A'.repeat(43))
      return browser.get(url.href)
    },
    'mismatch',
  ],
  [
    "one provider's answer at another's address",
    async () => {
      const browser = createBrowser()
      await browser.get(`${bed.url}/sign-in/two`)
      const url = await toCallback(browser, 'ann')
      return browser.get(url.replace('/sign-in/corp/', '/sign-in/two/'))
    },
    'mismatch',
  ],
  [
    'an answer of another issuer',
    async () => {
      const browser = createBrowser()
      const url = new URL(await toCallback(browser, 'ann'))
      url.searchParams.set('iss', 'https://evil.example')
      return browser.get(url.href)
    },
    'mismatch',
  ],
  [
    'a SAML answer that was used, at the other replica',
    async () => {
      const { browser, answer } = await samlSignIn()
      await browser.get(`${bed.url}/sign-in/old`)
      return createBrowser().post(`${bed.other}/sign-in/old/acs`, answer.fields)
    },
    'unsolicited',
  ],
  [
    'a SAML answer at an OpenID provider',
    () => createBrowser().post(`${bed.url}/sign-in/corp/acs`, { SAMLResponse: 'PHg+' }),
    'malformed',
  ],
  [
    'a provider that there is not',
    () => createBrowser().get(`${bed.url}/sign-in/nobody`),
    'unknown_provider',
  ],
]
for (const [name, attempt, reason] of hostile)
  test(`refused, with its reason in the trail and not on the page: ${name}`, async () => {
    const before = bed.events('refused').length
    const page = await attempt()
    assert.ok(page.status >= 400 && page.status < 500, `${page.status} ${page.text}`)
    assert.equal(cookieOf(page), '')
    const requestId = page.headers.get('x-request-id') ?? ''
    assert.ok(page.text.includes(requestId), 'the page shows the number that the trail has')
    await eventually(async () => bed.events('refused').length > before)
    const event = bed.events('refused').find((one) => one.requestId === requestId)
    assert.equal(event?.reason, reason, event?.detail)
    assert.equal(event?.address, '127.0.0.1')
    assert.ok(!page.text.includes(event?.detail ?? ''))
  })

test('a SAML assertion is taken once, whichever replica and however often restarted', async () => {
  const { answer, sent } = await samlSignIn()
  await bed.restart()
  for (const url of [bed.url, bed.other]) {
    // With all that the browser had: only the memory of assertions stands in the way.
    const replayed = await fetch(`${url}/sign-in/old/acs`, {
      ...{ method: 'POST', redirect: 'manual', headers: { cookie: sent } },
      body: new URLSearchParams(answer.fields),
    })
    assert.equal(replayed.status, 403)
    const requestId = replayed.headers.get('x-request-id')
    await eventually(async () => bed.events('refused').some((event) => event.requestId === requestId))
    assert.equal(bed.events('refused').find((event) => event.requestId === requestId)?.reason, 'replayed')
  }
})

test('what a request says its host is counts for nothing', async () => {
  const hosts = { host: 'evil.example', 'x-forwarded-host': 'evil.example', forwarded: 'host=evil.example' }
  const begun = await bed.app.inject({ url: '/sign-in/corp', headers: hosts })
  const redirectUri = new URL(String(begun.headers.location)).searchParams.get('redirect_uri')
  assert.equal(redirectUri, `${bed.url}/sign-in/corp/callback`)
  for (const url of ['/sign-in', '/device', '/sign-in/old/metadata', '/sign-in/nobody']) {
    const { body, headers } = await bed.app.inject({ url, headers: hosts })
    assert.ok(!`${body}${JSON.stringify(headers)}`.includes('evil'), url)
  }
})

test('the page at the address itself leads to sign-in where people can', async () => {
  const { body } = await bed.app.inject({ url: '/' })
  for (const path of ['/sign-in', '/device']) assert.ok(body.includes(`href="${path}"`), path)
})

test('pages cannot be framed, run no script, load nothing, and show values as text', async () => {
  const { browser } = await signIn('max')
  for (const path of [
    '/',
    '/sign-in',
    '/device',
    '/sign-in/nobody',
    '/sign-in?again=1&return=/%22%3E%3Cscript%3E',
  ]) {
    const { headers, text } = await browser.get(`${bed.url}${path}`)
    const policy = headers.get('content-security-policy') ?? ''
    assert.match(
      policy,
      /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$/,
    )
    assert.equal(headers.get('x-frame-options'), 'DENY')
    assert.equal(headers.get('cache-control'), 'no-store')
    assert.equal(headers.get('x-content-type-options'), 'nosniff')
    assert.doesNotMatch(text, /<script|javascript:|\son\w+=|<b>/i)
  }
  assert.match((await browser.get(`${bed.url}/sign-in`)).text, /Max &lt;b&gt;Bold/)
})

test('our SAML metadata names our addresses', async () => {
  const { text, headers } = await createBrowser().get(`${bed.url}/sign-in/old/metadata`)
  assert.equal(headers.get('content-type'), 'application/samlmetadata+xml')
  assert.ok(text.includes(`${bed.url}/sign-in/old/acs`))
})

test('where a provider is gone, sign-in says so soon, and open sessions live on', async () => {
  const { cookie } = await signIn('ann')
  await bed.stopProvider('oidc')
  await bed.restart()
  const beganMs = performance.now()
  const page = await createBrowser().get(`${bed.url}/sign-in/corp`)
  assert.equal(page.status, 503)
  assert.match(page.text, /cannot be reached just now/)
  assert.ok(performance.now() - beganMs < 12_000)
  assert.equal((await whoami(cookie)).status, 200)
  assert.equal((await samlSignIn()).landed.status, 303, 'the other provider is not concerned')
})

test('who fails too often has to wait, and keeps nobody else at that address out', async () => {
  const answers = []
  for (let attempt = 0; attempt < 40; attempt += 1)
    answers.push((await createBrowser().get(`${bed.url}/sign-in/nobody`)).status)
  assert.equal(answers.at(0), 404)
  assert.equal(answers.at(-1), 429)
  assert.ok(bed.events('refused').length < 100)
  assert.equal((await createBrowser().post(`${bed.url}/sign-in/old/acs`, { SAMLResponse: 'x' })).status, 429)
  assert.equal((await samlSignIn()).landed.status, 303)
})

async function get(url: string, cookie: string): Promise<Page> {
  const response = await fetch(url, { headers: { cookie }, redirect: 'manual' })
  return { url, status: response.status, headers: response.headers, text: await response.text() }
}

/** What cookies went along with the last request of `act`. */
async function cookiesOf(act: () => Promise<unknown>): Promise<string> {
  let sent = ''
  const real = globalThis.fetch
  globalThis.fetch = (input, init) => {
    sent = new Headers(init?.headers).get('cookie') ?? ''
    return real(input, init)
  }
  try {
    await act()
  } finally {
    globalThis.fetch = real
  }
  return sent
}

test('a page whose session is over may ask on without end, and keeps nobody out', async () => {
  await bed.restart()
  const cookie = cookieOf((await samlSignIn()).landed)
  const over = `${cookie.slice(0, -6)}AAAAAA`
  for (let poll = 0; poll < 30; poll += 1) assert.equal((await whoami(over)).status, 401)
  const bad = await fetch(`${bed.url}/v1/whoami`, { headers: { authorization: 'Bearer wrong' } })
  assert.equal(bad.status, 401, 'not yet sent away')
})
