// What looking for cards, ids and secrets costs: over text with nothing to find, kind by kind and all of them together;
// over text where every value has something; and the same for a pattern of the user. In time of the processor, which
// other work on the machine falsifies least. Writes load-tests/results/detectors.json.
//
//   node load-tests/detectors.ts
import { contentKinds, type Detect } from '@portcullis/kernel'
import { createDetect } from '@portcullis/masking'
import { type Row, report } from './report.ts'

const textBytes = 1 << 20
const measuredUs = 500_000

/** Prose, JSON and a log, in equal parts: what columns of text hold. */
const ordinary = textOf(
  'The carpenter looked at the door, which was older than the house, and said that it would outlast both of them. ' +
    '{"status":"shipped","items":[{"sku":"chair-oak","count":4},{"sku":"table","count":1}],"note":"leave at the door"} ' +
    'GET /products/chair?page=3 answered in 12 ms from the cache of the second node; nothing was retried, 18 rows sent. ',
)
const numbers = textOf(
  'at 2024-05-06T07:08:09.123Z order 48211973 of 550e8400-e29b-41d4-a716-446655440000 for 129.90 was paid; ',
)
const dense = textOf(
  'card 4242 4242 4242 4242 of alice@example.com, IBAN DE89 3704 0044 0532 0130 00, call +1 415-555-2671; ',
)
const all = createDetect({ detect: ['all'], patterns: {} })
const own = createDetect({ detect: [], patterns: { staff: String.raw`\bEMP-\d{6}\b` } })

report('detectors', [
  row('nothing to find, all kinds, values of 4 KiB', all, ordinary, 4096, { atLeast: 300 }),
  row('nothing to find, all kinds, values of 40 bytes', all, ordinary, 40),
  ...contentKinds.map((kind) =>
    row(`nothing to find, ${kind} alone`, createDetect({ detect: [kind], patterns: {} }), ordinary, 4096),
  ),
  row('nothing to find, a pattern of the user', own, ordinary, 4096),
  row('times, numbers and UUIDs, all kinds', all, numbers, 4096),
  row('something every 25 bytes, all kinds', all, dense, 4096),
])

function row(name: string, detect: Detect, text: Buffer, valueBytes: number, aim?: Row['aim']): Row {
  const scan = (): void => {
    for (let at = 0; at + valueBytes <= text.length; at += valueBytes) detect(text, at, at + valueBytes)
  }
  scan()
  let scans = 0
  const started = process.cpuUsage()
  let spentUs = 0
  for (; spentUs < measuredUs; scans += 1) {
    scan()
    const { user, system } = process.cpuUsage(started)
    spentUs = user + system
  }
  return {
    row: name,
    value: (scans * text.length) / spentUs,
    unit: 'MB a CPU second',
    ...(aim && { aim }),
  }
}

function textOf(part: string): Buffer {
  return Buffer.from(part.repeat(Math.ceil(textBytes / part.length))).subarray(0, textBytes)
}
