import assert from 'node:assert/strict'
import { test } from 'node:test'
import { spanUs } from './query.ts'
import { piecesOf } from './run.ts'

test('pieces cover what was asked for once, however many commands a span has', () => {
  const spans = [3, 4, 5, 9, 10].map((span, at) => ({ span, n: [10, 90_000, 20_000, 950_000, 1][at] }))
  const asked = { fromUs: 3 * spanUs + 7, toUs: 10 * spanUs + 9 }
  const pieces = piecesOf(asked, spans)
  assert.equal(pieces[0]?.fromUs, asked.fromUs)
  assert.equal(pieces.at(-1)?.toUs, asked.toUs)
  assert.equal(
    pieces.reduce((sum, { n }) => sum + n, 0),
    1_060_011,
  )
  for (const [at, piece] of pieces.entries()) {
    assert.ok(piece.n <= 200_000 && piece.fromUs < piece.toUs)
    const before = pieces[at - 1]
    if (before) assert.ok(before.toUs <= piece.fromUs)
  }
  // Nothing lies between pieces but spans without a command.
  const within = (us: number) => pieces.filter(({ fromUs, toUs }) => us >= fromUs && us < toUs).length
  for (const { span } of spans)
    for (const share of [0.01, 0.33, 0.5, 0.99]) {
      const us = Math.floor((span + share) * spanUs)
      assert.equal(within(us), us >= asked.fromUs && us < asked.toUs ? 1 : 0)
    }
})
