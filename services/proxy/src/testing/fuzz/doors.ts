/**
 * Fuzzes what reads bytes before there is a session, and what reads a text: the start-up packets, a balancer's PROXY
 * header, the SQL analyzer. Each target takes a seed and says what went wrong, with the bytes that did it.
 */
import { readdirSync, readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { isIP } from 'node:net'
import { Duplex } from 'node:stream'
import type { SqlAnalyzer, StatementAnalysis } from '@portcullis/sql'
import { type Random, randomFrom } from '../../../../../load-tests/simulator/random.ts'
import { ordinaryReads } from '../../protocols/postgres/reused-reads.ts'
import type { DoorTls } from '../../protocols/postgres/client-tls.ts'
import { readStartup } from '../../protocols/postgres/startup.ts'
import {
  backend,
  cstring,
  frontend,
  int32,
  message,
  readFields,
  startupCode,
  startupMessage,
} from '../../protocols/postgres/wire.ts'
import { judgeEntry } from '../../proxy-protocol.ts'
import { MessageReader } from './messages.ts'
import { bytesDamage, randomBytes, split } from './mutate.ts'

export interface DoorResult {
  readonly faults: readonly string[]
  /** Hexadecimal. */
  readonly input: string
}

const loginMsMax = 1000

/** What a client says before its first command. */
export async function fuzzStartup(seed: number, tls: DoorTls): Promise<DoorResult> {
  const random = randomFrom(seed)
  const input = startupInput(random)
  const loopback = random.next() < 0.8
  const socket = new Said()
  const opened = readStartup(ordinaryReads(socket as unknown as Socket), Buffer.alloc(0), {
    tls: random.next() < 0.3 ? tls : undefined,
    isEnough: () => false,
    loopback,
    tokenBytesMax: 100,
  }).catch((error: unknown) => ({ kind: 'failed' as const, error }))
  for (const piece of split(random, input, 5)) {
    socket.push(piece)
    if (random.next() < 0.3) await new Promise<void>((resolve) => setImmediate(resolve))
  }
  setImmediate(() => socket.push(null))
  // As the door does with who takes too long (loginMsMax).
  const late = setTimeout(() => socket.destroy(), loginMsMax)
  const given = Promise.withResolvers<undefined>()
  const giveUp = setTimeout(() => given.resolve(undefined), 10 * loginMsMax)
  const result = await Promise.race([opened, given.promise])
  clearTimeout(late)
  clearTimeout(giveUp)
  const faults: string[] = []
  if (result === undefined) faults.push('the start-up does not end')
  else if (result.kind === 'failed') faults.push(`the start-up throws: ${String(result.error)}`)
  else if (result.kind === 'login') {
    const { target, token, parameters } = result
    if (target === '' || !loopback)
      faults.push(`signed in as ${JSON.stringify(target)}, loopback ${loopback}`)
    // One more than the most: by that whoever judges a token sees that it is too long.
    if (token.length > 101 || token.includes('\0')) faults.push(`a token of ${token.length}`)
    const kept = Object.keys(parameters).filter((key) => /^(user|database|replication|_pq_\..*)$/.test(key))
    if (kept.length > 0) faults.push(`passed on: ${kept.join(', ')}`)
  }
  faults.push(...wrongAnswers(Buffer.concat(socket.written)))
  socket.destroy()
  return { faults, input: input.toString('hex') }
}

/** A balancer's first bytes: they are judged the same however they are cut, and for good. */
export function fuzzProxyHeader(seed: number): DoorResult {
  const random = randomFrom(seed)
  const input = random.next() < 0.1 ? randomBytes(random, 40) : bytesDamage(random, proxyHeader(random))
  const faults: string[] = []
  for (const required of [true, false]) {
    let first: string | undefined
    for (let length = 0; length <= input.length; length++) {
      const entry = judgeEntry(input.subarray(0, length), { trusted: true, required })
      if (entry.kind === 'proceed') {
        if (entry.bytesUsed > length) faults.push(`${entry.bytesUsed} bytes of ${length} used`)
        if (entry.source && isIP(entry.source.address) === 0) faults.push(`address ${entry.source.address}`)
      }
      const judged = entry.kind === 'wait' ? undefined : JSON.stringify(entry)
      if (first !== undefined && judged !== first)
        faults.push(`${first} became ${judged} with byte ${length}`)
      first ??= judged
    }
  }
  return { faults, input: input.toString('hex') }
}

/** Any text is read by every reading, quickly; what is not unknown while the reading is unsure is the same in each. */
export function fuzzAnalyzer(
  seed: number,
  analyzer: SqlAnalyzer,
  corpus: readonly [string, ...string[]],
): DoorResult {
  const random = randomFrom(seed)
  const input = sqlInput(random, corpus)
  const faults: string[] = []
  const read = (reading: Parameters<SqlAnalyzer['analyzeNow']>[3]): readonly StatementAnalysis[] => {
    const startMs = performance.now()
    const analyses = analyzer.analyzeNow(input, 0, input.length, reading)
    const tookMs = performance.now() - startMs
    if (analyses.length === 0) faults.push('read as nothing')
    // A machine that others use stops now and then; what is slow by itself is slow again.
    if (tookMs > 200) faults.push(`slow: ${Math.round(tookMs)} ms`)
    return analyses
  }
  try {
    const unsure = read({ standardConformingStrings: false, encodingAsciiSafe: false, unsure: true })
    const sure = [true, false].flatMap((standardConformingStrings) =>
      [true, false].map((encodingAsciiSafe) => read({ standardConformingStrings, encodingAsciiSafe })),
    )
    const isKnown = !unsure.some(({ effects }) => effects.includes('unknown'))
    for (const other of sure) {
      const isOpen = other.every(({ effects }) => effects.includes('unknown'))
      if (isKnown && !isOpen && whatItDoes(other) !== whatItDoes(unsure))
        faults.push(`unsure ${whatItDoes(unsure)}, by one reading ${whatItDoes(other)}`)
    }
  } catch (error) {
    faults.push(`the analyzer throws: ${String(error)}`)
  }
  return { faults, input: input.toString('hex') }
}

/** The texts of packages/sql/corpus. */
export function readCorpus(): readonly [string, ...string[]] {
  const folder = new URL('../corpus/', import.meta.resolve('@portcullis/sql'))
  const texts = readdirSync(folder)
    .filter((file) => file.endsWith('.sql') && file !== 'fixture.sql')
    .flatMap((file) => readFileSync(new URL(file, folder), 'utf8').split('\n\n'))
    .map((block) => block.replace(/^-- expect:.*\n/, ''))
  return ['select 1', ...texts]
}

function whatItDoes(analyses: readonly StatementAnalysis[]): string {
  return JSON.stringify(analyses.map(({ verb, effects, objects }) => [verb, effects, objects]))
}

function sqlInput(random: Random, corpus: readonly [string, ...string[]]): Buffer {
  const text = Buffer.from(random.pick(corpus))
  if (random.next() < 0.05) return randomBytes(random, random.whole(0, 200))
  const other = Buffer.from(random.pick(corpus))
  const joined = [text, Buffer.concat([text, Buffer.from('; '), other]), spliced(random, text, other)]
  return bytesDamage(random, random.pick(joined as [Buffer, ...Buffer[]]))
}

function spliced(random: Random, one: Buffer, other: Buffer): Buffer {
  return Buffer.concat([
    one.subarray(0, random.whole(0, one.length)),
    other.subarray(random.whole(0, other.length)),
  ])
}

function startupInput(random: Random): Buffer {
  const request = (code: number) => Buffer.concat([int32(8), int32(code)])
  const value = () =>
    random.pick(['shop', '', 'shop+app', 'true', '-c portcullis.role=x', '-c role=app', 'a'.repeat(200)])
  const key = () =>
    random.pick([
      'database',
      'options',
      'replication',
      '_pq_.x',
      'application_name',
      '__proto__',
      'role',
      'client_encoding',
    ])
  const parameters: Record<string, string> = { user: random.next() < 0.9 ? 'shop' : value() }
  for (let count = random.whole(0, 4); count > 0; count--) parameters[key()] = value()
  const parts = [
    ...Array.from({ length: random.whole(0, 3) }, () =>
      request(random.pick([startupCode.ssl, startupCode.gssenc])),
    ),
    random.next() < 0.1
      ? Buffer.concat([int32(16), int32(startupCode.cancel), int32(7), int32(7)])
      : startupMessage(random.pick([196_608, 196_608, 196_610, 196_611, 131_072, 262_144]), parameters),
    message(frontend.password, cstring('x'.repeat(random.whole(0, 120)))),
  ]
  return Buffer.concat(parts.map((part) => (random.next() < 0.2 ? bytesDamage(random, part) : part)))
}

const proxySignature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')

function proxyHeader(random: Random): Buffer {
  const family = random.pick([0x00, 0x11, 0x21, 0x31])
  const tlvs = Buffer.concat(
    Array.from({ length: random.whole(0, 3) }, () => {
      const value = randomBytes(random, random.whole(0, 9))
      return Buffer.concat([Buffer.from([random.whole(0, 255), 0, value.length]), value])
    }),
  )
  const body = Buffer.concat([randomBytes(random, family === 0x11 ? 12 : family === 0x21 ? 36 : 0), tlvs])
  const head = Buffer.from([random.pick([0x20, 0x21]), family, body.length >> 8, body.length & 255])
  return Buffer.concat([proxySignature, head, body, Buffer.from('client')])
}

/** `N` and `S` to requests, then whole messages of the start-up; errors that are fatal and the gate's own. */
function wrongAnswers(bytes: Buffer): string[] {
  const faults: string[] = []
  let at = 0
  // After S the bytes are those of TLS.
  while (bytes[at] === 0x4e) at++
  if (bytes[at] === 0x53) return faults
  const reader = new MessageReader()
  for (const { type, bytes: one } of reader.read(bytes.subarray(at))) {
    const fields = type === backend.error ? readFields(one.subarray(5)) : { S: 'FATAL', M: 'portcullis: ' }
    const known = [backend.error, backend.authentication, backend.negotiateVersion].some(
      (known) => known === type,
    )
    if (!known || fields.S !== 'FATAL' || !fields.M?.startsWith('portcullis: '))
      faults.push(`answered ${JSON.stringify(one.toString('latin1'))}`)
  }
  if (reader.partial.length > 0) faults.push('answered in part')
  return faults
}

/** A client's connection with nothing behind it. */
class Said extends Duplex {
  readonly written: Buffer[] = []

  constructor() {
    super({ allowHalfOpen: true })
    this.pause()
    this.on('error', () => undefined)
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written.push(chunk)
    done()
  }
}
