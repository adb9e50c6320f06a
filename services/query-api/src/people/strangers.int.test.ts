/** What a stranger can have kept for ever, or taken from others, by asking without end. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { eventually } from '../test-api.ts'
import { type PeopleBed, startPeopleBed } from './test-bed.ts'

let started: Started<PeopleBed>
let bed: PeopleBed
before(async () => {
  started = await startPeopleBed()
  bed = started.value
})
after(() => started.stop())

async function post(path: string, form: Record<string, string>) {
  const response = await fetch(`${bed.url}${path}`, { method: 'POST', body: new URLSearchParams(form) })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

/** Each went into the topic that all sign-ins wait for, and from there into the trail. */
test('of refusals without end only the first of each minute are kept', async () => {
  const grant = 'urn:ietf:params:oauth:grant-type:device_code'
  for (let count = 0; count < 200; count++) {
    const { body } = await post('/v1/token', {
      ...{ grant_type: grant, device_code: `made-up-${count}`, client_id: 'cli' },
    })
    assert.equal(body.error, 'invalid_grant')
    await post('/v1/device-authorization', { client_id: 'cli', scope: 'nothing' })
  }
  await eventually(async () => bed.events('device_refused').length >= 30)
  assert.ok(bed.events('device_refused').length < 50, String(bed.events('device_refused').length))
})

test('nobody who was not proven is told which targets there are', async () => {
  const { status, body } = await post('/v1/device-authorization', {
    client_id: 'cli',
    scope: 'target:nowhere',
  })
  assert.equal(status, 200, JSON.stringify(body))
})

test('a form of another site signs nobody out', async () => {
  const signOut = (origin: string) => fetch(`${bed.url}/sign-out`, { method: 'POST', headers: { origin } })
  assert.equal((await signOut('https://evil.example')).headers.get('set-cookie'), null)
  assert.match((await signOut(bed.url)).headers.get('set-cookie') ?? '', /^portcullis=; Max-Age=0/)
})
