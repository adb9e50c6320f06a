/** People answer on the page, in a real browser without scripts: sent to sign in and back, and what another site cannot do. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { type CommandRequest, type Started, systemClock } from '@portcullis/kernel'
import { createCodecs } from '@portcullis/platform/codec'
import { type ControlLog, startControlLog } from '@portcullis/platform/control'
import { type Chromium, type ChromiumPage, findChromium, startChromium } from '@portcullis/testkit/chromium'
import { type PeopleBed, startPeopleBed } from '../people/test-bed.ts'
import { heldCommand } from './test-bed.ts'

const skip = findChromium() === undefined ? 'Chromium is not installed' : false
let bed: Started<PeopleBed>
let chromium: Started<Chromium>
let control: Started<ControlLog>
let url = ''

before(async () => {
  if (skip) return
  bed = await startPeopleBed()
  url = bed.value.url
  chromium = await startChromium()
  control = await startControlLog({
    ...{ bus: bed.value.bus, codecs: createCodecs(), clock: systemClock, ids: randomUUID },
  })
})
after(async () => {
  await control?.stop()
  await chromium?.stop()
  await bed?.stop()
})

/** Held for an agent that Ann of the provider sent. */
async function hold(more: Partial<CommandRequest> = {}): Promise<string> {
  const approvalId = randomUUID()
  const ann = { issuer: bed.value.providers.oidc, subject: 'ann', kind: 'person' }
  const identity = { ...heldCommand().identity, delegation: [ann], task: 'nightly clean-up' }
  const request = heldCommand({ identity, ...more })
  const proxy = { issuer: 'portcullis', subject: 'gate-1', roles: [] }
  await control.value.write({ type: 'approval.requested', approvalId, request }, proxy)
  return approvalId
}

async function signIn(page: ChromiumPage, login: string): Promise<void> {
  await page.click('a[href^="/sign-in/corp"]')
  await page.type('input[name=login]', login)
  await page.click('button')
}

const stateOf = (id: string) => control.value.state().approvals.get(id)?.state

test('from the link in a notice over the sign-in to the answer, which stands in the log', {
  skip,
}, async () => {
  const id = await hold({ statement: 'delete from orders -- \u202e)eldnuh ylno(', values: ['7'] })
  const page = await chromium.value.newPage({ scripts: false })
  await page.goto(`${url}/approvals/${id}`)
  await signIn(page, 'dan')
  assert.equal(await page.url(), `${url}/approvals/${id}`)
  const text = await page.text()
  assert.match(text, /A command at shop\s+Waits for an answer, \d+ min left/)
  assert.match(text, /delete from orders -- ⟨U\+202E⟩\)eldnuh ylno\(\s+With the values\s+7/)
  assert.match(text, /On behalf of\s+http:\/\/127\.0\.0\.1:\d+\|ann\s+Task\s+nightly clean-up/)
  assert.match(text, /Rule\s+where-missing[\s\S]*about 1200[\s\S]*1 of dba/)
  await page.type('#reason', 'looked at <b>it</b>')
  await page.click('button[value=approve]')
  assert.equal(await page.url(), `${url}/approvals/${id}`)
  const answered = await page.text()
  assert.match(answered, /It is approved since[\s\S]*Approved by .*\|dan at .*: looked at <b>it<\/b>/)
  assert.doesNotMatch(answered, /Deny/)
  assert.equal(stateOf(id), 'approved')
  const [answer] = control.value.state().approvals.get(id)?.answers ?? []
  assert.deepEqual([answer?.via, answer?.groups], ['page', ['dba']])
})

test('a list of what waits; no form for who may not answer; what stands for who comes late', {
  skip,
}, async () => {
  const [one, two] = [
    await hold({ statement: 'drop table one' }),
    await hold({ statement: 'drop table two' }),
  ]
  const ann = await chromium.value.newPage({ scripts: false })
  await ann.goto(`${url}/approvals/${one}`)
  await signIn(ann, 'ann')
  assert.match(await ann.text(), /You cannot answer: it takes the role approver/)
  const dan = await chromium.value.newPage({ scripts: false })
  await dan.goto(`${url}/approvals`)
  await signIn(dan, 'dan')
  assert.match(await dan.text(), /A command at shop\s+https:\/\/idp\.example\|bot, \d+ min left/)
  await dan.click(`a[href="/approvals/${two}"]`)
  assert.match(await dan.text(), /drop table two/)
  // Meanwhile somebody else says no.
  const late = {
    type: 'approval.answered',
    approvalId: two,
    digest: heldCommand({ statement: 'drop table two' }).digest,
  } as const
  const more = { answer: 'deny', reason: '', groups: ['dba'], delegation: [], via: 'api' } as const
  await control.value.write({ ...late, ...more }, { issuer: 'x', subject: 'ben', roles: [] })
  await dan.click('button[value=approve]')
  assert.match(await dan.text(), /it was denied before, by x\|ben[\s\S]*It is denied/i)
  assert.equal(stateOf(two), 'denied')
  await dan.goto(`${url}/approvals/no-such-thing`)
  assert.match(await dan.text(), /No approval of this id is open[\s\S]*give this number/)
})

test('another site cannot answer with the cookie, nor put the page into a frame', { skip }, async () => {
  const id = await hold({ statement: 'drop table theirs' })
  const page = await chromium.value.newPage()
  await page.goto(`${url}/approvals/${id}`)
  await signIn(page, 'dan')
  const digest = heldCommand({ statement: 'drop table theirs' }).digest
  const evil = await serve(
    `<form method="post" action="${url}/approvals/${id}" target="sink"><input name="answer" value="approve"><input name="digest" value="${digest}"><input name="csrf" value="x"></form>
<iframe name="sink"></iframe><iframe src="${url}/approvals/${id}"></iframe><iframe src="${url}/healthz"></iframe>
<script>document.forms[0].submit(); fetch('${url}/v1/approvals/${id}/answers', { method: 'POST', credentials: 'include', body: '{"answer":"approve"}' }).then(() => { document.title = 'read' }, () => { document.title = 'refused' })</script>`,
  )
  try {
    await page.goto(`http://localhost:${(evil.address() as AddressInfo).port}/`)
    const title =
      'new Promise((done) => { const look = () => document.title ? done(document.title) : setTimeout(look, 20); look() })'
    assert.equal(await page.evaluate(title), 'refused')
    const frames = await page.frames()
    assert.ok(frames.includes(`${url}/healthz`), frames.join())
    assert.ok(!frames.some((one) => one.startsWith(`${url}/approvals`)), frames.join())
  } finally {
    evil.close()
  }
  const [cookie] = (await page.cookies()).filter(({ name }) => name === 'portcullis')
  const payload = `answer=approve&digest=${digest}&csrf=wrong`
  const headers = {
    cookie: `portcullis=${cookie?.value}`,
    'content-type': 'application/x-www-form-urlencoded',
  }
  const forged = await bed.value.app.inject({ method: 'POST', url: `/approvals/${id}`, headers, payload })
  assert.equal(forged.statusCode, 403)
  assert.equal(stateOf(id), 'pending')
})

async function serve(html: string): Promise<Server> {
  const server = createServer((_, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end(html),
  )
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  return server
}
