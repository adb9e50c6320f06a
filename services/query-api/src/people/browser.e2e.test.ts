/**
 * People sign in with a real browser at real providers, and the command line by the device flow (what it can do then is in
 * login.e2e.test.ts of the command line). And what a browser does for other sites: nothing.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { type Chromium, type ChromiumPage, findChromium, startChromium } from '@portcullis/testkit/chromium'
import { type PeopleSystem, startPeopleSystem } from '@portcullis/testkit/people-system'

const skip = findChromium() === undefined ? 'Chromium is not installed' : false
const cli = join(import.meta.dirname, '../../../cli/src/main.ts')
const home = mkdtempSync(join(tmpdir(), 'portcullis-home-'))
let bed: Started<PeopleSystem>
let chromium: Started<Chromium>
let api = ''

before(async () => {
  if (skip) return
  bed = await startPeopleSystem()
  chromium = await startChromium()
  api = bed.value.system.apiUrl
})
after(async () => {
  await chromium?.stop()
  await bed?.stop()
  rmSync(home, { recursive: true, force: true })
})

async function signIn(page: ChromiumPage, provider: 'corp' | 'old', login: string): Promise<void> {
  await page.click(`a[href^="/sign-in/${provider}"]`)
  await page.type('input[name=login]', login)
  await page.click('button')
}

function startCli(...args: string[]) {
  const child = spawn(process.execPath, [cli, ...args], {
    env: { ...process.env, PORTCULLIS_CONFIG_DIR: home, PORTCULLIS_URL: api },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const state = { out: '' }
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data) => {
      state.out += data
    })
  const done = new Promise<{ code: number | null; out: string }>((resolve) =>
    child.once('close', (code) => resolve({ code, out: state.out })),
  )
  return { state, done }
}

async function untilSaid(state: { readonly out: string }, pattern: RegExp): Promise<string> {
  const deadline = Date.now() + 30_000
  for (;;) {
    const [, found] = pattern.exec(state.out) ?? []
    if (found !== undefined) return found
    assert.ok(Date.now() < deadline, `${pattern} was not said: ${state.out}`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

for (const scripts of [true, false])
  test(`by OpenID Connect, ${scripts ? 'with' : 'without'} scripts: in, seen, out`, { skip }, async () => {
    const page = await chromium.value.newPage({ scripts })
    await page.goto(`${api}/sign-in`)
    assert.match(await page.text(), /Sign in with Corp\s+Sign in with the old directory/)
    await signIn(page, 'corp', 'ann')
    assert.equal(await page.url(), `${api}/sign-in`)
    assert.match(await page.text(), /You are signed in[\s\S]*Ann Example[\s\S]*responder/)
    const cookies = (await page.cookies()).filter(({ name }) => name.startsWith('portcullis'))
    assert.deepEqual(
      cookies.map(({ name, httpOnly, sameSite, path }) => [name, httpOnly, sameSite, path]),
      [['portcullis', true, 'Lax', '/']],
    )
    assert.equal(await page.evaluate('document.cookie'), '', 'no script can read it')
    await page.click('form[action="/sign-out"] button')
    assert.match(await page.text(), /You are signed out/)
    await page.goto(`${api}/sign-in`)
    assert.match(await page.text(), /Choose where you have your account/)
  })

test('by SAML', { skip }, async () => {
  const page = await chromium.value.newPage()
  await page.goto(`${api}/sign-in`)
  await signIn(page, 'old', 'ben@old.example')
  assert.match(await page.waitForText(/You are signed in/), /Ben Example[\s\S]*viewer/)
})

test('the command line signs in by the device flow', { skip }, async () => {
  const login = startCli('login')
  const code = await untilSaid(login.state, /\b([B-Z]{4}-[B-Z]{4})\b/)
  const page = await chromium.value.newPage({ width: 390, height: 800 })
  await page.goto(`${api}/device`)
  await signIn(page, 'corp', 'ann')
  await page.type('#code', code)
  await page.click('button.go')
  assert.match(await page.text(), /Is this you\?[\s\S]*portcullis-cli[\s\S]*127\.0\.0\.1/)
  await page.click('button[value=yes]')
  assert.match(await page.text(), /Done/)
  const { code: status, out } = await login.done
  assert.equal(status, 0, out)
})

test('another site cannot act with the cookie, nor put a page of ours into a frame', { skip }, async () => {
  const page = await chromium.value.newPage()
  await page.goto(`${api}/sign-in`)
  await signIn(page, 'corp', 'ann')
  // Another site to the browser: the sign-in pages are at 127.0.0.1.
  const evil = await serve(
    `<form method="post" action="${api}/sign-out" target="sink"><input name="csrf" value="x"></form>
<iframe name="sink"></iframe><iframe src="${api}/device"></iframe><iframe src="${api}/healthz"></iframe>
<script>document.forms[0].submit(); fetch('${api}/v1/whoami', { credentials: 'include' }).then(() => { document.title = 'read' }, () => { document.title = 'refused' })</script>`,
  )
  try {
    await page.goto(`http://localhost:${(evil.address() as AddressInfo).port}/`)
    const title =
      'new Promise((done) => { const look = () => document.title ? done(document.title) : setTimeout(look, 20); look() })'
    assert.equal(await page.evaluate(title), 'refused')
    // What may be framed is there, or none would prove nothing.
    const frames = await page.frames()
    assert.ok(frames.includes(`${api}/healthz`), frames.join())
    assert.ok(!frames.some((url) => url.startsWith(`${api}/device`)), frames.join())
  } finally {
    evil.close()
  }
  await page.goto(`${api}/sign-in`)
  assert.match(await page.text(), /You are signed in/, 'still')
})

test('where the provider is gone a person reads so, and an open session goes on', { skip }, async () => {
  const open = await chromium.value.newPage()
  await open.goto(`${api}/sign-in`)
  await signIn(open, 'corp', 'ann')
  await bed.value.stopProvider('oidc')
  await bed.value.system.stopPart('query-api')
  await bed.value.system.startPart('query-api')
  const page = await chromium.value.newPage({ dark: true })
  await page.goto(`${api}/sign-in`)
  await page.click('a[href^="/sign-in/corp"]')
  assert.match(await page.text(), /cannot be reached just now[\s\S]*give this number: [\w-]+/)
  await open.goto(`${api}/sign-in`)
  assert.match(await open.text(), /You are signed in/)
})

async function serve(html: string): Promise<Server> {
  const server = createServer((_, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end(html),
  )
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  return server
}
