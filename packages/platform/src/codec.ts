/**
 * Events to bytes and back: Avro single-object encoding (Avro specification, "Single-object encoding"), so that every
 * value on the bus says which schema wrote it. A reader resolves any version ever released; a fingerprint it does not
 * know, trailing bytes, or an event of another kind is an error with a name, never a guess.
 */
import { createHash, hash as digest } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type BaselineEvent,
  CodedError,
  type CommandEvent,
  type ControlEvent,
  type FindingEvent,
  type RecordingEvent,
  type SessionEvent,
  type SignInEvent,
  type VerdictEvent,
} from '@portcullis/kernel'
import avro, { type Type } from 'avsc'
import { boundCounts } from './codec-bounds.ts'

export interface Events {
  session: SessionEvent
  command: CommandEvent
  recording: RecordingEvent
  control: ControlEvent
  verdict: VerdictEvent
  finding: FindingEvent
  baseline: BaselineEvent
  signin: SignInEvent
}
export type EventName = keyof Events

export interface Codec<E> {
  readonly event: EventName
  /** CRC-64-AVRO of the schema that `encode` writes with, 16 hex digits. */
  readonly fingerprint: string
  /** C3 01, the fingerprint little-endian, then `encodeBody`. Throws CodecError('invalid') naming the field. */
  encode(event: E): Buffer
  /** The Avro bytes alone. */
  encodeBody(event: E): Buffer
  /**
   * Of a session or command event: its `link.prevHash` and `linkHash` filled in, encoded. What `link.hash` holds does not
   * matter. The same as `encode` of the event with its `linkHash`, at the cost of one encoding.
   */
  seal(event: E, prevHash: Uint8Array): { readonly value: Buffer; readonly hash: Buffer }
  /** Plain objects; `bytes` fields are copies. Throws CodecError. */
  decode(bytes: Uint8Array): E
}
export type Codecs = { readonly [N in EventName]: Codec<Events[N]> }

export type CodecErrorCode =
  /** The event does not fit its schema. */
  | 'invalid'
  /** Not single-object encoding, truncated, or followed by more bytes. */
  | 'corrupt'
  /** No known schema has this fingerprint: a newer version wrote it. */
  | 'unknown_schema'
  /** A known schema wrote it, but of another event, or one that today's schema cannot read. */
  | 'wrong_event'
export class CodecError extends CodedError<CodecErrorCode> {}

export const eventNames: readonly EventName[] = [
  'session',
  'command',
  'recording',
  'control',
  'verdict',
  'finding',
  'baseline',
  'signin',
]

/**
 * Reads schemas/avro (what is written today) and schemas/golden (every version ever released). Throws where a schema
 * cannot be read or parsed.
 */
export function createCodecs(schemasDir: string = join(import.meta.dirname, '../../../schemas')): Codecs {
  const current = parseCurrent(schemasDir)
  const writers = new Map<string, { event: EventName; type: Type }>()
  for (const event of eventNames) {
    for (const file of goldenSchemas(schemasDir, event)) {
      const type = parseSchema(readJson(file))
      writers.set(fingerprintOf(type), { event, type })
    }
  }
  for (const event of eventNames) {
    const type = current[event]
    writers.set(fingerprintOf(type), { event, type })
  }
  const make = <N extends EventName>(event: N): Codec<Events[N]> =>
    createCodec(event, current[event], writers)
  return {
    session: make('session'),
    command: make('command'),
    recording: make('recording'),
    control: make('control'),
    verdict: make('verdict'),
    finding: make('finding'),
    baseline: make('baseline'),
    signin: make('signin'),
  }
}

/**
 * Link.hash as its doc defines it: SHA-256 over the hash before and this event's Avro bytes with `link.hash` empty.
 * Whatever else `event.link` holds, `prevHash` included, must be filled in already.
 */
export function linkHash<E extends SessionEvent | CommandEvent>(
  prevHash: Uint8Array,
  codec: Codec<E>,
  event: E,
): Buffer {
  const unsealed = { ...event, link: { ...event.link, hash: noBytes } }
  return createHash('sha256').update(prevHash).update(codec.encodeBody(unsealed)).digest()
}

/** CRC-64-AVRO of a schema's Parsing Canonical Form, 16 hex digits. The schema must be self-contained. */
export function schemaFingerprint(schema: avro.Schema): string {
  return fingerprintOf(parseSchema(schema))
}

/** Today's schemas, parsed. */
export function parseCurrent(schemasDir: string): Record<EventName, Type> {
  const registry = {}
  const dir = join(schemasDir, 'avro')
  const common = readJson(join(dir, 'common.avsc'))
  if (!Array.isArray(common))
    throw new CodecError('invalid', `${dir}/common.avsc: must be an array of named types`)
  for (const schema of common) parseSchema(schema, registry)
  const parse = (event: EventName) => parseSchema(readJson(join(dir, `${event}-event.avsc`)), registry)
  return {
    session: parse('session'),
    command: parse('command'),
    recording: parse('recording'),
    control: parse('control'),
    verdict: parse('verdict'),
    finding: parse('finding'),
    baseline: parse('baseline'),
    signin: parse('signin'),
  }
}

/** The schema files of every released version of an event, oldest first. */
export function goldenSchemas(schemasDir: string, event: EventName): string[] {
  const dir = join(schemasDir, 'golden', event)
  return readdirSync(dir)
    .filter((name) => name.endsWith('.avsc'))
    .sort()
    .map((name) => join(dir, name))
}

/** `registry` holds named types by full name: filled by this call, and looked up in it. */
export function parseSchema(schema: avro.Schema, registry: Record<string, Type> = {}): Type {
  boundCounts()
  const type = avro.Type.forSchema(schema, { registry, omitRecordMethods: true })
  for (const named of Object.values(registry)) {
    // avsc builds each record with `new` of a function it generates; with Object's own prototype the result is a plain
    // object, as deepEqual, structuredClone and every reader of events expect.
    if (named instanceof avro.types.RecordType) named.recordConstructor.prototype = Object.prototype
  }
  return type
}

/** CRC-64-AVRO, Avro specification, "Schema Fingerprints". */
export function crc64Avro(bytes: Uint8Array): bigint {
  let crc = crcEmpty
  for (const byte of bytes) {
    crc ^= BigInt(byte)
    for (let bit = 0; bit < 8; bit++) crc = (crc >> 1n) ^ (crc & 1n ? crcEmpty : 0n)
  }
  return crc
}

const crcEmpty = 0xc15d213aa4d7a795n
const headerBytes = 10
const hashBytes = 32
/** Where the Avro bytes stand in the scratch buffer: room before them for the hash before. */
const bodyAt = hashBytes
const noBytes = Buffer.alloc(0)

function createCodec<E>(
  event: EventName,
  type: Type,
  writers: ReadonlyMap<string, { event: EventName; type: Type }>,
): Codec<E> {
  const fingerprint = fingerprintOf(type)
  const header = Buffer.alloc(headerBytes)
  header.writeUInt16BE(0xc301)
  header.writeBigUInt64LE(BigInt(`0x${fingerprint}`), 2)
  const resolvers = new Map<string, ReturnType<Type['createResolver']>>()
  let scratch = Buffer.allocUnsafe(4096)

  /** Fills `scratch` from byte `bodyAt` on and returns the end. */
  function write(value: E): number {
    try {
      let end = type.encode(value, scratch, bodyAt)
      if (end < 0) {
        // A negative answer is how many bytes were missing.
        scratch = Buffer.allocUnsafe((scratch.length - end) * 2)
        end = type.encode(value, scratch, bodyAt)
      }
      return end
    } catch (cause) {
      throw new CodecError('invalid', `${event} event: ${invalidFields(type, value) || message(cause)}`, {
        cause,
      })
    }
  }

  function resolverFor(writtenBy: string): ReturnType<Type['createResolver']> {
    const known = resolvers.get(writtenBy)
    if (known) return known
    const writer = writers.get(writtenBy)
    if (!writer) {
      const hint = 'a newer version wrote it: upgrade this reader, or add the schema to schemas/golden'
      throw new CodecError(
        'unknown_schema',
        `${event} event: no known schema has the fingerprint ${writtenBy}; ${hint}`,
      )
    }
    if (writer.event !== event)
      throw new CodecError('wrong_event', `expected a ${event} event, got a ${writer.event} event`)
    try {
      const resolver = type.createResolver(writer.type)
      resolvers.set(writtenBy, resolver)
      return resolver
    } catch (cause) {
      throw new CodecError('wrong_event', `${event} event: ${writtenBy} cannot be read: ${message(cause)}`, {
        cause,
      })
    }
  }

  return {
    event,
    fingerprint,
    encode(value) {
      const end = write(value)
      header.copy(scratch, bodyAt - headerBytes)
      return Buffer.copyBytesFrom(scratch, bodyAt - headerBytes, end - bodyAt + headerBytes)
    },
    encodeBody(value) {
      const end = write(value)
      return Buffer.copyBytesFrom(scratch, bodyAt, end - bodyAt)
    },
    seal(event, prevHash) {
      const { link } = event as CommandEvent | SessionEvent
      const end = write({ ...event, link: { ...link, prevHash, hash: noBytes } })
      scratch.set(prevHash, 0)
      const hash = digest('sha256', scratch.subarray(0, end), 'buffer')
      // The empty hash stands right behind the hash before, and nothing before that can look like it.
      const hashAt = scratch.indexOf(scratch.subarray(0, hashBytes), bodyAt) + hashBytes
      if (prevHash.length !== hashBytes || scratch[hashAt] !== 0)
        throw new CodecError('invalid', `${event} event: has no link to fill in`)
      const value = Buffer.allocUnsafe(headerBytes + end - bodyAt + hashBytes)
      header.copy(value)
      const cut = headerBytes + hashAt - bodyAt
      scratch.copy(value, headerBytes, bodyAt, hashAt)
      // A length of 32, as Avro writes it.
      value[cut] = hashBytes << 1
      hash.copy(value, cut + 1)
      scratch.copy(value, cut + 1 + hashBytes, hashAt + 1, end)
      return { value, hash }
    },
    decode(bytes) {
      const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      if (buffer.length < headerBytes || buffer.readUInt16BE(0) !== 0xc301)
        throw new CodecError(
          'corrupt',
          `${event} event: not Avro single-object encoding (${bytes.length} bytes)`,
        )
      const resolver = header.equals(buffer.subarray(0, headerBytes))
        ? undefined
        : resolverFor(buffer.readBigUInt64LE(2).toString(16).padStart(16, '0'))
      try {
        return type.fromBuffer(buffer.subarray(headerBytes), resolver) as E
      } catch (cause) {
        throw new CodecError('corrupt', `${event} event: ${message(cause)}`, { cause })
      }
    },
  }
}

function fingerprintOf(type: Type): string {
  // Type.schema() without options is the specification's Parsing Canonical Form.
  return crc64Avro(Buffer.from(JSON.stringify(type.schema())))
    .toString(16)
    .padStart(16, '0')
}

/** Which fields do not fit, such as `link.seq (a string)`; empty where avsc finds nothing. Never shows a value. */
function invalidFields(type: Type, value: unknown): string {
  const wrong: string[] = []
  type.isValid(value, {
    errorHook: (path, found) => {
      wrong.push(`${path.join('.') || 'the whole'} (${found === null ? 'null' : typeof found})`)
    },
  })
  return wrong.length > 0 ? `does not fit its schema at ${wrong.join(', ')}` : ''
}

function readJson(file: string): avro.Schema {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as avro.Schema
  } catch (cause) {
    throw new CodecError('invalid', `${file}: ${message(cause)}`, { cause })
  }
}

function message(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
