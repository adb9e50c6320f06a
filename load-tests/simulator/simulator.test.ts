import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createCodecs, linkHash } from '@portcullis/platform/codec'
import { dayUs, fleet, historyOf, liveParts, secondUs, simulatedRecorder } from './index.ts'

const fromUs = Date.UTC(2026, 8, 7) * 1000
const codecs = createCodecs()

test('the same seed gives the same history, byte by byte; another seed gives another', () => {
  assert.deepEqual(encoded(7), encoded(7))
  assert.notDeepEqual(encoded(7), encoded(8))
})

test('a history is in the order of time, and its recorder chain is without a gap', () => {
  let prevHash: Uint8Array = Buffer.alloc(32)
  let atUs = 0
  let seq = 0
  for (const event of history(7)) {
    assert.ok(event.startedAt >= atUs && event.startedAt < fromUs + dayUs + secondUs)
    atUs = event.startedAt
    assert.equal(event.link.seq, ++seq)
    assert.deepEqual(event.link.prevHash, prevHash)
    assert.deepEqual(event.link.hash, linkHash(prevHash, codecs.command, event))
    prevHash = event.link.hash
    assert.match(event.link.recorder, /^simulator-/)
  }
  assert.ok(seq > 5_000)
})

test('every agent of the fleet has a live part', () => {
  assert.deepEqual(
    fleet(1)
      .map(({ subject }) => subject)
      .toSorted(),
    liveParts.map(({ subject }) => subject).toSorted(),
  )
})

function history(seed: number) {
  const recorder = simulatedRecorder({
    name: 'test',
    issuer: 'https://issuer.example',
    target: 'shop',
    database: 'shop',
    hash: (prevHash, event) => linkHash(prevHash, codecs.command, event),
  })
  return historyOf(fleet(seed), recorder, fromUs, fromUs + dayUs)
}

function encoded(seed: number): string[] {
  return [...history(seed)].map((event) => codecs.command.encode(event).toString('base64'))
}
