/**
 * Writes schemas/golden/<event>/NNN.{avsc,bin,json} for each event whose schema in schemas/avro has no golden file
 * yet: the self-contained schema, one event in single-object encoding, and the same event in Avro's JSON encoding. It
 * only ever adds: what an old version wrote must stay readable, so old files are never touched.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createCodecs, eventNames, goldenSchemas, parseCurrent, schemaFingerprint } from '@portcullis/platform/codec'
import { samples } from './samples.ts'

type Json = null | string | number | boolean | Json[] | { [key: string]: Json }

function main(): void {
  const schemasDir = join(import.meta.dirname, '..')
  for (const event of eventNames) mkdirSync(join(schemasDir, 'golden', event), { recursive: true })
  const codecs = createCodecs(schemasDir)
  const types = parseCurrent(schemasDir)
  for (const event of eventNames) {
    const released = goldenSchemas(schemasDir, event)
    const { fingerprint } = codecs[event]
    if (released.some((file) => schemaFingerprint(JSON.parse(readFileSync(file, 'utf8'))) === fingerprint)) continue
    const base = join(schemasDir, 'golden', event, String(released.length + 1).padStart(3, '0'))
    const bytes = encodeSample(event)
    writeFileSync(`${base}.avsc`, `${JSON.stringify(selfContained(schemasDir, event), null, 2)}\n`, { flag: 'wx' })
    writeFileSync(`${base}.bin`, bytes, { flag: 'wx' })
    writeFileSync(`${base}.json`, `${types[event].toString(samples[event])}\n`, { flag: 'wx' })
    console.log(`${base}.{avsc,bin,json}: schema ${fingerprint}`)
  }

  function encodeSample<N extends keyof typeof codecs>(event: N): Buffer {
    return codecs[event].encode(samples[event])
  }
}

/** An event's schema with each common type written out where it is first named, as Avro demands of a single document. */
function selfContained(schemasDir: string, event: string): Json {
  const read = (name: string): Json => JSON.parse(readFileSync(join(schemasDir, 'avro', name), 'utf8')) as Json
  const common = new Map<string, Json>()
  for (const schema of read('common.avsc') as { namespace: string; name: string }[])
    common.set(`${schema.namespace}.${schema.name}`, schema)
  const written = new Set<string>()
  const expand = (node: Json): Json => {
    if (typeof node === 'string') {
      const definition = common.get(node)
      if (!definition || written.has(node)) return node
      written.add(node)
      return expand(definition)
    }
    if (Array.isArray(node)) return node.map(expand)
    if (node === null || typeof node !== 'object') return node
    const out: { [key: string]: Json } = { ...node }
    // Only where a schema may stand: a default or a doc that happens to equal a type's name stays as it is.
    for (const place of ['type', 'items', 'values']) if (node[place] !== undefined) out[place] = expand(node[place])
    if (Array.isArray(node.fields)) out.fields = node.fields.map(expand)
    return out
  }
  return expand(read(`${event}-event.avsc`))
}

main()
