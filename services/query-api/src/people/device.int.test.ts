/** The device flow over two replicas: a device asks at one, the person answers at the other, and what else might be tried. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { type Browser, createBrowser, formOf, type Page } from '@portcullis/testkit/browser'
import { decodeJwt } from 'jose'
import { eventually, tokens } from '../test-api.ts'
import type { AskedDevice } from './device.ts'
import { type PeopleBed, startPeopleBed } from './test-bed.ts'

let started: Started<PeopleBed>
let bed: PeopleBed
before(async () => {
  started = await startPeopleBed()
  bed = started.value
})
after(() => started.stop())

const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code'

async function post(url: string, form: Record<string, string>) {
  const response = await fetch(url, { method: 'POST', body: new URLSearchParams(form) })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}
async function ask(more: Record<string, string> = {}): Promise<AskedDevice> {
  const { status, body } = await post(`${bed.url}/v1/device-authorization`, {
    client_id: 'portcullis-cli',
    ...more,
  })
  assert.equal(status, 200, JSON.stringify(body))
  return body as unknown as AskedDevice
}
/** At the replica that did not begin it, so that each poll is a first one for its pace. */
const poll = ({ device_code }: AskedDevice, more: Record<string, string> = {}, url = bed.other) =>
  post(`${url}/v1/token`, { grant_type: deviceGrant, device_code, client_id: 'portcullis-cli', ...more })

async function signedIn(login: string): Promise<Browser> {
  const browser = createBrowser()
  const back = `${bed.url}/sign-in/corp/callback`
  const page = await browser.follow(await browser.get(`${bed.url}/sign-in/corp`), back)
  assert.ok(typeof page !== 'string')
  const callback = await browser.follow(await browser.post(formOf(page).action, { login }), back)
  assert.ok(typeof callback === 'string')
  assert.equal((await browser.get(callback)).status, 303)
  return browser
}
/** Types the code and sends the form. */
async function enter(browser: Browser, code: string): Promise<Page> {
  const { action, fields } = formOf(await browser.get(`${bed.url}/device`))
  return browser.post(action, { ...fields, user_code: code })
}
async function say(browser: Browser, asked: AskedDevice, answer: 'yes' | 'no'): Promise<Page> {
  const page = await enter(browser, asked.user_code)
  const { action, fields } = formOf(page)
  return browser.post(action, { ...fields, answer })
}

test('a device gets a token as the person who said yes, once', async () => {
  const asked = await ask()
  assert.match(asked.user_code, /^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/)
  assert.equal(asked.verification_uri_complete, `${bed.url}/device?user_code=${asked.user_code}`)
  assert.deepEqual([asked.expires_in, asked.interval], [600, 5])
  assert.equal((await poll(asked, {}, bed.url)).body.error, 'authorization_pending')
  assert.equal((await poll(asked, {}, bed.url)).body.error, 'slow_down')

  const browser = await signedIn('ann')
  const page = await enter(browser, asked.user_code.toLowerCase().replace('-', ' '))
  for (const shown of [
    'portcullis-cli',
    '127.0.0.1',
    asked.user_code,
    'Ann Example',
    'everything that you may',
  ])
    assert.ok(page.text.includes(shown), shown)
  const { action, fields } = formOf(page)
  assert.match((await browser.post(action, { ...fields, answer: 'yes' })).text, /Done/)

  const { status, body } = await poll(asked)
  assert.equal(status, 200, JSON.stringify(body))
  const token = String(body.access_token)
  assert.equal(body.token_type, 'Bearer')
  assert.ok(Number(body.expires_in) > 3_500 && Number(body.expires_in) <= 3_600)
  assert.equal((await poll(asked, {}, bed.url)).body.error, 'invalid_grant', 'a second use')
  assert.equal((await poll(asked)).body.error, 'invalid_grant', 'at either replica')

  const claims = decodeJwt(token)
  assert.equal(claims.sub, 'ann')
  const response = await fetch(`${bed.url}/v1/whoami`, { headers: { authorization: `Bearer ${token}` } })
  const who = (await response.json()) as Record<string, unknown>
  assert.deepEqual([who.issuer, who.subject, who.role], [bed.providers.oidc, 'ann', 'responder'])
  assert.equal(who.csrf, undefined)
  const [event] = bed.events('device_redeemed')
  assert.deepEqual([event?.subject, event?.instance, event?.client], ['ann', claims.jti, 'portcullis-cli'])

  // Person -> agent -> task.
  const key = await fetch(`${bed.url}/v1/api-keys`, {
    method: 'POST',
    headers: { authorization: `Bearer ${tokens.admin}`, 'content-type': 'application/json' },
    body: JSON.stringify({ subject: 'helper', groups: ['agents'], lifeSec: 600, description: 'an agent' }),
  })
  const { key: actor } = (await key.json()) as { key: string }
  const traded = await post(`${bed.url}/v1/token`, {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    ...{ subject_token: token, subject_token_type: 'urn:ietf:params:oauth:token-type:access_token' },
    ...{ actor_token: actor, actor_token_type: 'urn:portcullis:token-type:api-key' },
    task: 'tidy up',
  })
  assert.equal(traded.status, 200, JSON.stringify(traded.body))
  const asAgent = await fetch(`${bed.url}/v1/whoami`, {
    headers: { authorization: `Bearer ${String(traded.body.access_token)}` },
  })
  const agent = (await asAgent.json()) as Record<string, unknown>
  assert.deepEqual([agent.subject, agent.task, agent.role], ['helper', 'tidy up', 'viewer'])
  assert.deepEqual(agent.delegation, [{ issuer: bed.providers.oidc, subject: 'ann', kind: 'person' }])
})

test('what the device asked to be limited to holds, and is shown', async () => {
  const asked = await ask({ scope: 'target:shop role:reader' })
  const browser = await signedIn('ann')
  assert.ok((await enter(browser, asked.user_code)).text.includes('target:shop role:reader'))
  await say(browser, asked, 'yes')
  const { body } = await poll(asked)
  assert.equal(body.scope, 'target:shop role:reader')
  const asking = (scope: string) => post(`${bed.url}/v1/device-authorization`, { client_id: 'x', scope })
  assert.equal((await asking('everything')).body.error, 'invalid_scope')
  assert.equal(
    (await asking('target:nowhere')).status,
    200,
    'a stranger does not learn which targets there are',
  )
})

test('no is no, and nobody can say yes after it', async () => {
  const asked = await ask()
  const browser = await signedIn('ann')
  assert.match((await say(browser, asked, 'no')).text, /Refused/)
  assert.equal((await poll(asked)).body.error, 'access_denied')
  assert.equal((await enter(browser, asked.user_code)).status, 404)
})

test('a device code works for the client it was given to alone, and a made-up one for nobody', async () => {
  const asked = await ask()
  assert.equal((await poll(asked, { client_id: 'other' })).body.error, 'invalid_grant')
  assert.equal((await poll(asked, { device_code: 'A'.repeat(43) })).body.error, 'invalid_grant')
  assert.equal((await post(`${bed.url}/v1/device-authorization`, {})).body.error, 'invalid_request')
})

test('of two answers at once one counts', async () => {
  const asked = await ask()
  const [ann, max] = [await signedIn('ann'), await signedIn('max')]
  const pages = [await enter(ann, asked.user_code), await enter(max, asked.user_code)]
  const forms = pages.map(formOf)
  const answers = await Promise.all(
    [ann, max].map((browser, at) => {
      const form = forms[at]
      assert.ok(form)
      return browser.post(form.action, { ...form.fields, answer: 'yes' })
    }),
  )
  const done = answers.filter(({ text }) => /Done/.test(text))
  assert.equal(done.length, 1)
  const winner = answers[0] === done[0] ? 'ann' : 'max'
  assert.equal(decodeJwt(String((await poll(asked)).body.access_token)).sub, winner)
})

test('two redemptions at once, at two replicas: one token', async () => {
  const asked = await ask()
  await say(await signedIn('ann'), asked, 'yes')
  await eventually(async () => bed.events('device_approved').length > 0)
  const results = await Promise.all([poll(asked, {}, bed.url), poll(asked, {}, bed.other)])
  assert.equal(results.filter(({ status }) => status === 200).length, 1, JSON.stringify(results))
})

test('another site can neither answer for a person nor learn anything by an address', async () => {
  const asked = await ask()
  const browser = await signedIn('ann')
  const page = await enter(browser, asked.user_code)
  const { action, fields } = formOf(page)
  const { csrf: _, ...without } = fields
  assert.equal((await browser.post(action, { ...without, answer: 'yes' })).status, 403)
  assert.equal((await browser.post(action, { ...fields, csrf: 'A'.repeat(43), answer: 'yes' })).status, 403)
  // The address only fills in the code; it asks nothing and says nothing of it.
  const complete = await browser.get(asked.verification_uri_complete)
  assert.ok(!complete.text.includes('portcullis-cli') && complete.text.includes(asked.user_code))
  assert.equal((await poll(asked)).body.error, 'authorization_pending')
})

test('what was shown is what is answered: a yes to another device is none', async () => {
  const [shown, swapped] = [await ask(), await ask({ client_id: 'evil' })]
  const browser = await signedIn('ann')
  const { action, fields } = formOf(await enter(browser, shown.user_code))
  const page = await browser.post(action, { ...fields, user_code: swapped.user_code, answer: 'yes' })
  assert.match(page.text, /Is this you\?/)
  assert.equal((await poll(swapped, { client_id: 'evil' })).body.error, 'authorization_pending')
})

test('who is not signed in is sent to sign in, and comes back with the code', async () => {
  const asked = await ask()
  const page = await createBrowser().get(asked.verification_uri_complete)
  assert.equal(page.status, 303)
  const back = `/device?user_code=${asked.user_code}`
  assert.equal(page.headers.get('location'), `/sign-in?return=${encodeURIComponent(back)}`)
  const odd = await createBrowser().get(
    `${bed.url}/device?user_code=${encodeURIComponent('"><script>&return=//evil')}`,
  )
  assert.match(odd.headers.get('location') ?? '', /^\/sign-in\?return=%2Fdevice%3Fuser_code%3D[A-Z-]+$/)
})

test('a revocation of the sign-in reaches what a device got by it', async () => {
  const asked = await ask()
  await say(await signedIn('max'), asked, 'yes')
  const { body } = await poll(asked)
  const { portcullis } = decodeJwt<{ portcullis: { ancestors: string[]; issuer: string } }>(
    String(body.access_token),
  )
  const [signIn = ''] = portcullis.ancestors
  assert.match(signIn, / signin-[\w-]+$/)
  const as = () =>
    fetch(`${bed.url}/v1/whoami`, { headers: { authorization: `Bearer ${String(body.access_token)}` } })
  assert.equal((await as()).status, 200)
  const instance = signIn.slice(signIn.indexOf(' ') + 1)
  const revoked = await fetch(`${bed.url}/v1/revocations`, {
    method: 'POST',
    headers: { authorization: `Bearer ${tokens.responder}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      subject: { kind: 'token', issuer: portcullis.issuer, instance },
      ...{ durationSec: 600, reason: 'stolen laptop' },
    }),
  })
  assert.equal(revoked.status, 201, await revoked.clone().text())
  assert.equal((await as()).status, 403)
})

test('guessing codes: after five a person has to wait, at every replica, and each is in the trail', async () => {
  const asked = await ask()
  const browser = await signedIn('zoe')
  for (let guess = 0; guess < 5; guess += 1) assert.equal((await enter(browser, 'BBBB-BBBB')).status, 404)
  const page = await enter(browser, asked.user_code)
  assert.equal(page.status, 429)
  assert.match(page.text, /Too many wrong codes/)
  await eventually(
    async () => bed.events('device_refused').filter(({ reason }) => reason === 'wrong_code').length >= 5,
  )
  await bed.restart()
  assert.equal((await enter(browser, asked.user_code)).status, 429)
})

test('asking without end: an address has to wait', async () => {
  const answers: unknown[] = []
  for (let at = 0; at < 25; at += 1)
    answers.push((await post(`${bed.other}/v1/device-authorization`, { client_id: 'x' })).body.error)
  assert.equal(answers.at(0), undefined)
  assert.equal(answers.at(-1), 'temporarily_unavailable')
})
