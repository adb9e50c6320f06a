import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import avro, { type Type } from 'avsc'
import {
  CodecError,
  type CodecErrorCode,
  crc64Avro,
  createCodecs,
  type EventName,
  eventNames,
  goldenSchemas,
  linkHash,
  parseCurrent,
  parseSchema,
  schemaFingerprint,
} from './codec.ts'

const schemasDir = join(import.meta.dirname, '../../../schemas')
const codecs = createCodecs(schemasDir)
const current = parseCurrent(schemasDir)

interface Golden {
  readonly event: EventName
  readonly name: string
  readonly schema: avro.Schema
  readonly bytes: Buffer
  readonly json: string
}

const goldens: Golden[] = eventNames.flatMap((event) =>
  goldenSchemas(schemasDir, event).map((file) => ({
    event,
    name: `${event}/${file.slice(-8, -5)}`,
    schema: JSON.parse(readFileSync(file, 'utf8')),
    bytes: readFileSync(file.replace(/avsc$/, 'bin')),
    json: readFileSync(file.replace(/avsc$/, 'json'), 'utf8'),
  })),
)

function hasCode(code: CodecErrorCode, message = /./): (error: unknown) => boolean {
  return (error) => error instanceof CodecError && error.code === code && message.test(error.message)
}

/** What a reader of `reader`'s version makes of bytes that `writer` wrote; throws where it cannot. */
function readAs(reader: Type, writer: Type, body: Buffer): unknown {
  return reader.fromBuffer(body, reader.createResolver(writer))
}

test('CRC-64-AVRO and the canonical form give the fingerprints of the Avro test suite', () => {
  // share/test/data/schema-tests.txt of apache/avro.
  assert.equal(crc64Avro(Buffer.from('"null"')), 7195948357588979594n)
  assert.equal(schemaFingerprint('int'), 8247732601305521295n.toString(16))
  const record = { type: 'record' as const, name: 'a.b.C', doc: 'stripped', fields: [] }
  assert.equal(
    schemaFingerprint(record),
    crc64Avro(Buffer.from('{"name":"a.b.C","type":"record","fields":[]}')).toString(16),
  )
})

test('every schema of today has a golden file', () => {
  for (const event of eventNames) {
    const released = goldens.filter((golden) => golden.event === event)
    assert.ok(
      released.some((golden) => schemaFingerprint(golden.schema) === codecs[event].fingerprint),
      `${event}: its schema changed; add a sample to schemas/golden/samples.ts and run node schemas/golden/write.ts`,
    )
  }
})

test('today writes, byte for byte, what stands in the golden file of its schema', () => {
  let compared = 0
  for (const { event, name, schema, bytes, json } of goldens) {
    if (schemaFingerprint(schema) !== codecs[event].fingerprint) continue
    assert.deepEqual(reencode(event, json), bytes, name)
    compared++
  }
  assert.equal(compared, eventNames.length)

  function reencode(event: EventName, json: string): Buffer {
    return codecs[event].encode(current[event].fromString(json))
  }
})

test('today reads every golden file of every version', () => {
  for (const { event, name, schema, bytes, json } of goldens) {
    const writer = parseSchema(schema)
    const expected = readAs(current[event], writer, writer.toBuffer(writer.fromString(json)))
    assert.deepEqual(codecs[event].decode(bytes), expected, name)
  }
})

test('every released version reads what today writes', () => {
  for (const { event, name, schema } of goldens) {
    const latest = goldens.findLast((golden) => golden.event === event)
    assert.ok(latest)
    const body = codecs[event].decode(latest.bytes)
    const old = parseSchema(schema)
    assert.doesNotThrow(() => readAs(old, current[event], current[event].toBuffer(body)), name)
  }
})

test('the compatibility checks can fail: a renamed field is refused in both directions', () => {
  const golden = goldens.find(({ event }) => event === 'control')
  assert.ok(golden)
  const planted = parseSchema(
    JSON.parse(JSON.stringify(golden.schema).replace('"name":"aggregateId"', '"name":"aggregate"')),
  )
  assert.throws(() => readAs(planted, current.control, golden.bytes.subarray(10)), /aggregate/)
  assert.throws(() => readAs(current.control, planted, golden.bytes.subarray(10)), /aggregateId/)
})

test('a new enum symbol and a new field reach an old reader as its default', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-codec-'))
  t.after(() => rmSync(dir, { recursive: true }))
  cpSync(schemasDir, dir, { recursive: true })
  const file = join(dir, 'avro/command-event.avsc')
  const schema = readFileSync(file, 'utf8')
  const grown = schema
    .replace('"cancelled", "skipped", "unknown"]', '"cancelled", "skipped", "unknown", "paused"]')
    .replace('{ "name": "tag",', '{ "name": "added", "type": "string", "default": "" }, { "name": "tag",')
  writeFileSync(file, grown)
  const newer = createCodecs(dir).command
  assert.notEqual(newer.fingerprint, codecs.command.fingerprint)
  const event = codecs.command.decode(goldenOf('command'))
  const future = newer.encode({
    ...newer.decode(goldenOf('command')),
    ...{ outcome: 'paused' as 'ok', added: 'x' },
  })

  // Until the newer schema is known here, it is refused by name; with it among the golden ones it is read.
  assert.throws(() => codecs.command.decode(future), hasCode('unknown_schema', new RegExp(newer.fingerprint)))
  writeFileSync(file, schema)
  writeFileSync(join(dir, 'golden/command/999.avsc'), selfContained(dir, grown))
  assert.deepEqual(createCodecs(dir).command.decode(future), { ...event, outcome: 'unknown' })
})

test('what is decoded is plain: no class, no methods, equal to what was encoded', () => {
  const event = codecs.command.decode(goldenOf('command'))
  for (const part of [event, event.link, event.identity, event.identity.delegation[0], event.objects[0]])
    assert.equal(Object.getPrototypeOf(part), Object.prototype)
  assert.deepEqual(codecs.command.decode(codecs.command.encode(event)), event)
  assert.deepEqual(Object.keys(event.proxy), ['name', 'version'])
})

test('bytes fields do not alias the input', () => {
  const bytes = Buffer.from(goldenOf('recording'))
  const event = codecs.recording.decode(bytes)
  bytes.fill(0x55)
  assert.deepEqual(event.data, Buffer.from([0, 1, 2, 0xff]))
})

test('events larger than the scratch buffer survive', () => {
  const event = { ...codecs.recording.decode(goldenOf('recording')), data: Buffer.alloc(900_000, 7) }
  assert.deepEqual(codecs.recording.decode(codecs.recording.encode(event)), event)
})

test('bad input gets an error with a name', () => {
  const bytes = goldenOf('verdict')
  assert.throws(() => codecs.verdict.decode(bytes.subarray(0, -1)), hasCode('corrupt', /truncated/))
  assert.throws(() => codecs.verdict.decode(Buffer.concat([bytes, bytes])), hasCode('corrupt', /trailing/))
  assert.throws(() => codecs.verdict.decode(Buffer.from('{"json":true}')), hasCode('corrupt'))
  assert.throws(() => codecs.verdict.decode(new Uint8Array()), hasCode('corrupt'))
  assert.throws(
    () => codecs.verdict.decode(goldenOf('finding')),
    hasCode('wrong_event', /a verdict .* a finding/),
  )
  const event = codecs.verdict.decode(bytes)
  assert.throws(
    () => codecs.verdict.encode({ ...event, subject: { ...event.subject, id: JSON.parse('3') } }),
    hasCode('invalid', /subject\.id \(number\)/),
  )
  assert.throws(
    () => codecs.verdict.encode({ ...event, until: Number.MAX_SAFE_INTEGER + 1 }),
    hasCode('invalid', /until/),
  )
})

test('every truncation and every flipped bit of a golden file is an error or an event, never a hang', () => {
  const bytes = goldenOf('command')
  for (let at = 0; at < bytes.length; at++) {
    assert.throws(() => codecs.command.decode(bytes.subarray(0, at)), CodecError)
    for (const mask of [0x01, 0x7f, 0x80, 0xff]) {
      const flipped = Buffer.from(bytes)
      flipped[at] = (flipped[at] ?? 0) ^ mask
      try {
        codecs.command.decode(flipped)
      } catch (error) {
        assert.ok(error instanceof CodecError)
      }
    }
  }
})

test('a count beyond the bytes that are left is corrupt, in the array, the map, and where they are skipped', () => {
  const huge = Buffer.from([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f])
  for (const type of [
    { type: 'array' as const, items: 'string' as const },
    { type: 'map' as const, values: 'string' as const },
  ]) {
    const fields = [{ name: 'a', type }]
    const writer = parseSchema({ type: 'record', name: 'R', fields })
    assert.throws(() => writer.fromBuffer(huge), /truncated/)
    const reader = parseSchema({
      type: 'record',
      name: 'R',
      fields: [{ name: 'b', type: 'string', default: '' }],
    })
    assert.throws(() => reader.fromBuffer(huge, reader.createResolver(writer)), /truncated/)
  }
})

test('a map keeps every key', () => {
  const event = codecs.command.decode(goldenOf('command'))
  const attributes = Object.fromEntries([
    ['__proto__', '1'],
    ['constructor', '2'],
    ['', '3'],
  ])
  assert.deepEqual(
    codecs.command.decode(codecs.command.encode({ ...event, attributes })).attributes,
    attributes,
  )
})

test('linkHash chains over the event with its own hash left out', () => {
  const event = codecs.session.decode(goldenOf('session'))
  const zero = Buffer.alloc(32)
  const hash = linkHash(zero, codecs.session, event)
  assert.equal(hash.length, 32)
  assert.deepEqual(linkHash(zero, codecs.session, { ...event, link: { ...event.link, hash } }), hash)
  assert.notDeepEqual(linkHash(hash, codecs.session, event), hash)
  assert.notDeepEqual(linkHash(zero, codecs.session, { ...event, detail: 'altered' }), hash)
})

test('seal is encode with the linkHash filled in, the first of a chain and one that grows the buffer included', () => {
  const session = codecs.session.decode(goldenOf('session'))
  const command = codecs.command.decode(goldenOf('command'))
  for (const prevHash of [Buffer.alloc(32), Buffer.alloc(32, 7)]) {
    for (const detail of ['', 'x'.repeat(50_000)]) {
      const event = { ...session, detail, link: { ...session.link, prevHash } }
      const hash = linkHash(prevHash, codecs.session, event)
      const value = codecs.session.encode({ ...event, link: { ...event.link, hash } })
      assert.deepEqual(codecs.session.seal({ ...session, detail }, prevHash), { value, hash })
    }
    const event = { ...command, link: { ...command.link, prevHash } }
    const hash = linkHash(prevHash, codecs.command, event)
    const value = codecs.command.encode({ ...event, link: { ...event.link, hash } })
    assert.deepEqual(codecs.command.seal(command, prevHash), { value, hash })
  }
  assert.throws(() => codecs.session.seal(session, Buffer.alloc(31)), { code: 'invalid' })
})

function goldenOf(event: EventName): Buffer {
  const golden = goldens.findLast((candidate) => candidate.event === event)
  assert.ok(golden)
  return golden.bytes
}

/** The grown command schema with the common types beside it, as one document. */
function selfContained(dir: string, schema: string): string {
  const registry = {}
  for (const common of JSON.parse(readFileSync(join(dir, 'avro/common.avsc'), 'utf8')))
    parseSchema(common, registry)
  return JSON.stringify(avro.Type.forSchema(JSON.parse(schema), { registry }).schema({ exportAttrs: true }))
}
