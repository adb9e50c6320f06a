import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ByteReader, ByteWriter } from './bytes.ts'
import { readFrame } from './decode.ts'
import {
  putHead,
  putNothing,
  putOutcome,
  putProgress,
  putSession,
  putSessionClosed,
  putStatement,
} from './encode.ts'
import { putDecision, putEnd, putIntent, putMasked } from './encode.ts'
import { RecorderError } from './error.ts'
import { beginFrame, formatVersion, frameEnd, type SegmentRecord, sealFrame } from './format.ts'
import { allow, analysisOf, sessionRecord } from './sample.fixture.ts'

const count = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const text = fc.string({ unit: 'binary', maxLength: 100 }).map((raw) => raw.toWellFormed())
const result = fc.record({
  outcome: fc.constantFrom('ok', 'error', 'refused', 'cut', 'cancelled', 'skipped', 'unknown'),
  stage: fc.constantFrom('run', 'prepare'),
  errorCode: text,
  tag: text,
  rowsIn: count,
  rowsOut: count,
  rowsAffected: count,
  bytesIn: count,
  bytesOut: count,
})
const totals = fc.record({ commands: count, rowsOut: count, bytesIn: count, bytesOut: count })
const progress = fc.record({ rowsIn: count, rowsOut: count, bytesIn: count, bytesOut: count })
const { id: _id, delayUs: _delayUs, ...kind } = allow

const long = (from: string) => from.padEnd(5000, '"é\n\u{1f600}').toWellFormed()

const record: fc.Arbitrary<SegmentRecord> = fc.oneof(
  fc.record({
    type: fc.constant('head'),
    version: fc.constant(formatVersion),
    recorder: text,
    segment: count,
    seqFirst: count,
    proxy: fc.record({ name: text, version: text }),
  }),
  fc.record({
    type: fc.constant('session'),
    phase: fc.constantFrom('opened', 'refused'),
    session: count,
    record: text.map(sessionRecord),
    decision: text.map((id) => ({ ...allow, id })),
    detail: text,
  }),
  fc.record({
    type: fc.constant('statement'),
    statement: count,
    analysis: fc.oneof(text, text.map(long)).map(analysisOf),
  }),
  fc.record({
    type: fc.constant('decision'),
    decision: count,
    kind: text.map((rule) => ({ ...kind, rule })),
  }),
  fc.record({
    type: fc.constant('intent'),
    session: count,
    number: count,
    statement: count,
    decision: count,
    repeated: fc.boolean(),
    started: fc.boolean(),
    startedAt: count,
    delayUs: count,
    decisionId: text,
    attributes: fc
      .dictionary(text, text, { minKeys: 1, noNullPrototype: true })
      .map((map) => JSON.stringify(map)),
  }),
  fc.record({ type: fc.constant('progress'), session: count, number: count, at: count, progress }),
  fc.record({
    type: fc.constant('masked'),
    session: count,
    number: count,
    masked: fc.array(fc.record({ column: text, values: count })),
  }),
  fc.record(
    {
      type: fc.constant('outcome'),
      session: count,
      number: count,
      at: count,
      result,
      decision: text.map((id) => ({ ...allow, id })),
    },
    { requiredKeys: ['type', 'session', 'number', 'at', 'result'] },
  ),
  fc.record({
    type: fc.constant('sessionClosed'),
    session: count,
    at: count,
    decision: fc.constant(allow),
    detail: text,
    totals,
  }),
  fc.constant({ type: 'end' }),
)
const frames = fc.array(fc.array(record, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 })

test('any records come back, and a file torn at any byte gives exactly the whole frames before it', () => {
  fc.assert(
    fc.property(frames, (all) => {
      const pieces = all.map(encode)
      const file = Buffer.concat(pieces)
      const ends = pieces.map((_, i) => pieces.slice(0, i + 1).reduce((sum, piece) => sum + piece.length, 0))
      for (let torn = 0; torn <= file.length; torn++) {
        const whole = ends.filter((end) => end <= torn).length
        // Behind the tear there may be anything, as in a buffer that is used again.
        const end = torn
        const read = readAll(file, end)
        assert.equal(read.frames, whole)
        if (torn === file.length) assert.deepEqual(read.records, JSON.parse(JSON.stringify(all.flat())))
      }
    }),
    { numRuns: 30 },
  )
})

test('a byte that was changed is noticed, wherever it is', () => {
  fc.assert(
    fc.property(frames, fc.nat(), fc.integer({ min: 1, max: 255 }), (all, where, flip) => {
      const pieces = all.map(encode)
      const file = Buffer.concat(pieces)
      const at = where % file.length
      file[at] = (file[at] ?? 0) ^ flip
      let hit = 0
      for (let end = 0; end <= at; hit++) end += pieces[hit]?.length ?? 0
      assert.equal(readAll(file, file.length).frames, hit - 1)
    }),
  )
})

test('of a statement only what an event tells is written, whatever else its reader keeps with it', () => {
  const tree = { A_Const: { sval: { sval: 'hunter2' } } }
  for (const text of ["execute p('***')", `execute p('***')${' '.repeat(5000)}`]) {
    const out = new ByteWriter(16)
    beginFrame(out)
    putStatement(out, 1, Object.assign(analysisOf(text), { named: { args: [tree] } }))
    sealFrame(out)
    assert.equal(out.buffer.includes('hunter2'), false)
    assert.deepEqual(readAll(out.buffer, out.at).records, [
      { type: 'statement', statement: 1, analysis: analysisOf(text) },
    ])
  }
})

test('zeros, as a file may end in after a loss of power, are no frame', () => {
  assert.equal(frameEnd(Buffer.alloc(4096), 0, 4096), -1)
})

test('a record type of a later version is skipped, a later format is refused by name', () => {
  const out = new ByteWriter(16)
  beginFrame(out)
  putNothing(out)
  putEnd(out)
  sealFrame(out)
  assert.deepEqual(readAll(out.buffer, out.at).records, [{ type: 'end' }])
  beginFrame(out)
  putHead(out, { version: 9, recorder: 'r', segment: 1, seqFirst: 1, proxy: { name: '', version: '' } })
  sealFrame(out)
  assert.throws(
    () => readAll(out.buffer, out.at),
    (error) => error instanceof RecorderError && error.code === 'corrupt' && /format 9/.test(error.message),
  )
})

test('counts that are no counts are written as the nearest one', () => {
  const out = new ByteWriter(8)
  for (const wrong of [-1, Number.NaN, 1.4, Number.POSITIVE_INFINITY, -0]) {
    out.varint(wrong)
    out.fixed53(wrong)
  }
  const reader = new ByteReader(out.buffer, 0, out.at)
  const read = Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? reader.varint() : reader.fixed53()))
  const max = Number.MAX_SAFE_INTEGER
  assert.deepEqual(read, [0, 0, 0, 0, 1, 1, max, max, 0, 0])
})

function encode(records: readonly SegmentRecord[]): Buffer {
  const out = new ByteWriter(16)
  beginFrame(out)
  for (const one of records) put(out, one)
  sealFrame(out)
  return Buffer.from(out.buffer.subarray(0, out.at))
}

function put(out: ByteWriter, one: SegmentRecord): void {
  switch (one.type) {
    case 'head':
      return putHead(out, one)
    case 'session':
      return putSession(out, one.phase, one.session, one.record, one.decision, one.detail)
    case 'statement':
      return putStatement(out, one.statement, one.analysis)
    case 'decision':
      return putDecision(out, one.decision, one.kind)
    case 'intent':
      return putIntent(out, one.session, one.statement, one.decision, one.repeated, one.started, {
        sessionId: '',
        number: one.number,
        analysis: analysisOf(''),
        decision: { ...allow, id: one.decisionId, delayUs: one.delayUs },
        startedAt: one.startedAt,
        attributes: JSON.parse(one.attributes),
      })
    case 'progress':
      return putProgress(out, one.session, one.number, one.at, one.progress)
    case 'masked':
      return putMasked(out, one.session, one.number, one.masked)
    case 'outcome':
      return putOutcome(out, one.session, one.number, one.at, one.result, one.decision)
    case 'sessionClosed':
      return putSessionClosed(out, one.session, one.at, one.decision, one.detail, one.totals)
    case 'end':
      return putEnd(out)
    case 'sessionStillOpen':
      throw new Error('not among the records of this test')
  }
}

function readAll(buffer: Buffer, end: number): { frames: number; records: SegmentRecord[] } {
  const records: SegmentRecord[] = []
  let at = 0
  for (let frames = 0; ; frames++) {
    const next = frameEnd(buffer, at, end)
    if (next < 0) return { frames, records }
    records.push(...readFrame(buffer, at, next))
    at = next
  }
}

test('an identity of a version that knew no tasks and no ancestors reads as one without', () => {
  const { identity, ...rest } = sessionRecord('s-1')
  const before = Object.fromEntries(
    Object.entries(identity ?? {}).filter(([name]) => name !== 'task' && name !== 'ancestors'),
  )
  const out = new ByteWriter(16)
  beginFrame(out)
  putSession(out, 'opened', 1, { ...rest, identity: before as unknown as typeof identity }, allow, '')
  sealFrame(out)
  const [record] = readAll(out.buffer, out.at).records
  assert.deepEqual(record?.type === 'session' && record.record, { identity, ...rest })
})
