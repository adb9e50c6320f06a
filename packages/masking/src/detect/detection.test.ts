import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ContentGroup, contentGroups, contentKinds as kinds } from '@portcullis/kernel'
import fc from 'fast-check'
import { createDetect } from './detection.ts'
import { lookalikes, nearMisses } from './testing/lookalikes.ts'
import { positives } from './testing/positives.ts'

const everything = createDetect({ detect: ['all'], patterns: {} })

function found(text: string, detection = everything): string[] {
  const bytes = Buffer.from(text)
  return detection(bytes, 0, bytes.length).map(
    ({ kind, start, end }) => `${kind}:${bytes.toString('utf8', start, end)}`,
  )
}

/** As a value alone, in a sentence, in JSON, in a line of a CSV, and beside other numbers. */
const settings: readonly ((value: string) => string)[] = [
  (value) => value,
  (value) => `On file: ${value}, since 2019.`,
  (value) => JSON.stringify({ id: 17, note: value, at: '2024-05-06T07:08:09Z' }),
  (value) => `7,${value},12.50,true`,
  (value) => `«${value}»`,
  (value) => `a=1 v=${value} b=2`,
]

test('every published example is found in every setting, of its kind, and nothing beside it', () => {
  for (const kind of kinds)
    for (const value of positives[kind])
      for (const setting of settings) {
        const text = setting(value)
        const spans = found(text)
        assert.equal(spans.length, 1, `${kind} in ${text}: ${spans}`)
        assert.ok(spans[0]?.startsWith(`${kind}:`), `${kind} in ${text}: ${spans}`)
        // The words that introduce an id stay.
        const shown = JSON.stringify(value).slice(1, -1)
        const bare = shown.replace(/^[^0-9]*(?=\d{9,12}"?\}?$)/, '').replace(/\\"\}$/, '')
        if (!text.includes(value) || /bsn|cpf|aadhaar/i.test(value)) {
          const span = spans[0]?.slice(kind.length + 1) ?? ''
          assert.ok(shown.includes(span) || span === bare, `${kind} in ${text}: ${span}`)
        } else assert.equal(spans[0], `${kind}:${value}`)
      }
})

test('near misses are left alone', () => {
  for (const text of nearMisses)
    for (const setting of settings) assert.deepEqual(found(setting(text)), [], setting(text))
})

test('precision and recall over the corpus, kind by kind', () => {
  const benign = Object.entries(lookalikes(300)).flatMap(([family, values]) =>
    values.flatMap((value) => settings.slice(0, 4).map((setting) => ({ family, text: setting(value) }))),
  )
  const falsely = new Map<string, number>()
  const examples: string[] = []
  for (const { family, text } of benign)
    for (const span of found(text)) {
      const kind = span.slice(0, span.indexOf(':'))
      falsely.set(kind, (falsely.get(kind) ?? 0) + 1)
      if (examples.length < 40) examples.push(`${family}: ${span}`)
    }
  const total = [...falsely.values()].reduce((sum, count) => sum + count, 0)
  assert.ok(total <= benign.length * 0.0005, `${total} of ${benign.length}:\n${examples.join('\n')}`)
  for (const kind of kinds)
    assert.ok((falsely.get(kind) ?? 0) <= benign.length * 0.0003, `${kind}\n${examples.join('\n')}`)
})

test('a kind is found only where it is wanted', () => {
  for (const kind of kinds) {
    const only = createDetect({ detect: [kind], patterns: {} })
    const others = createDetect({ detect: kinds.filter((other) => other !== kind), patterns: {} })
    for (const value of positives[kind]) {
      assert.ok(found(value, only).length > 0, `${kind}: ${value}`)
      assert.ok(!found(value, others).some((span) => span.startsWith(`${kind}:`)), value)
    }
  }
})

test('bare digits of a weak id count where a rule names the kind, and not where it names a group', () => {
  for (const [kind, bare] of [
    ['nl-bsn', '111222333'],
    ['uk-nhs', '9434765919'],
    ['in-aadhaar', '234123412346'],
    ['br-cpf', '52998224725'],
    ['se-personnummer', '8112189876'],
    ['us-ssn', '219099999'],
  ] as const) {
    assert.deepEqual(found(bare, createDetect({ detect: [kind], patterns: {} })), [`${kind}:${bare}`])
    assert.deepEqual(found(bare, createDetect({ detect: ['national-ids'], patterns: {} })), [], bare)
  }
})

test('groups are their kinds', () => {
  for (const [group, members] of Object.entries(contentGroups)) {
    const detection = createDetect({ detect: [group as ContentGroup], patterns: {} })
    for (const kind of members)
      for (const value of positives[kind]) assert.ok(found(value, detection).length > 0, value)
  }
})

test('patterns of the user: RE2, beside the kinds, longest where they overlap', () => {
  const detection = createDetect({
    detect: ['email'],
    patterns: { staff: String.raw`\bEMP-\d{6}\b`, mailbox: '<[^>]+@[^>]+>' },
  })
  assert.deepEqual(found('EMP-123456 wrote to <alice@example.com>, not EMP-1', detection), [
    'staff:EMP-123456',
    'mailbox:<alice@example.com>',
  ])
  const far = `${'é'.repeat(20_000)} EMP-123456`
  assert.deepEqual(found(far, detection), ['staff:EMP-123456'])
  // Across the end of a piece of 16 KiB.
  assert.deepEqual(found(`${'x '.repeat(8190)} EMP-123456`, detection), ['staff:EMP-123456'])
})

test('any bytes: spans lie inside, in order, and do not depend on what surrounds the window', () => {
  const pieces = fc.constantFrom(
    ...Object.values(positives).flat(),
    ...nearMisses,
    ' ',
    ',',
    '\n',
    '@',
    '+',
    '(',
    '-----BEGIN ',
    'eyJ',
    'sk-ant-api',
    '0',
    '12',
    '.',
    '-',
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 30 }), fc.uint8Array({ maxLength: 40 }), (parts, noise) => {
      const inner = Buffer.concat([Buffer.from(parts.join('')), noise])
      const around = Buffer.concat([Buffer.from('9@a.'), inner, Buffer.from('9@a.')])
      const spans = everything(inner, 0, inner.length)
      let covered = 0
      for (const { start, end } of spans) {
        assert.ok(start >= covered && end > start && end <= inner.length)
        covered = end
      }
      const shifted = everything(around, 4, 4 + inner.length)
      assert.deepEqual(
        shifted.map(({ kind, start, end }) => ({ kind, start: start - 4, end: end - 4 })),
        spans,
      )
    }),
  )
})

test('linear on texts that are made to be slow', () => {
  for (const piece of [
    'eyJ-',
    'eyJhbGciOi',
    'sk-ant-api',
    'ghs_',
    '-----BEGIN ',
    'a@',
    '@a.',
    '1 ',
    '0049-',
    '12345678-',
    'GB29 ',
    '+1(2)',
    'tel ',
  ]) {
    const bytes = Buffer.from(piece.repeat(262_144 / piece.length))
    const before = process.cpuUsage()
    everything(bytes, 0, bytes.length)
    const { user } = process.cpuUsage(before)
    // In time of the processor: 0.01 to 0.6 us a byte, and 20 or more where a run is looked at again from each of its words.
    assert.ok(user < 4 * bytes.length, `${piece}: ${user} us`)
  }
})
