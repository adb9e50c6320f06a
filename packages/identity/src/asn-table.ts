/**
 * An address -> its autonomous system, by the bundled list. The list is compiled once into a file in a folder of the
 * caller's and then read by every process as it lies: 6 MB in memory and some milliseconds, instead of 32 MB of text and
 * half a second. Refuses to trust that file further than its checksum, and to fail for want of it: where the folder
 * cannot be used the table is made in memory, with a warning.
 */
import { createHash, randomUUID } from 'node:crypto'
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import {
  buildImage,
  headerBytes,
  type ImageHeader,
  imageBytes,
  readHeader,
  searchedBytes,
} from './asn-image.ts'
import { IdentityError } from './errors.ts'

export interface AsnTable {
  /** `address` as Node's `isIP` accepts it, without a zone; `number` is 0 where no system announces it. */
  find(address: string, family: 4 | 6): { readonly number: number; readonly name: string }
}

export interface AsnTableOptions {
  /** Holds `asn.bin`; made where it is missing. In memory alone where absent. */
  readonly cacheDir?: string
  readonly log?: { warn(fields: object, message: string): void }
  /** A folder like the bundled package's. */
  readonly sourceDir?: string
}

/** Throws IdentityError('origin_database') where the bundled list itself cannot be read. */
export function openAsnTable(options: AsnTableOptions = {}): AsnTable {
  const dir = options.sourceDir ?? bundledDir()
  const v4File = join(dir, 'asn-ipv4-num.csv')
  const v6File = join(dir, 'asn-ipv6-num.csv')
  try {
    const source = identify(dir, v4File, v6File)
    const build = () => buildImage(v4File, v6File, source)
    return cachedTable(options, source, build) ?? tableInMemory(build(), source)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new IdentityError(
      'origin_database',
      `the bundled list of autonomous systems cannot be read (${why}); install the packages anew, or set asnDb`,
      { cause },
    )
  }
}

/** Undefined where the folder cannot be used. */
function cachedTable(
  { cacheDir, log }: AsnTableOptions,
  source: Buffer,
  build: () => Buffer,
): AsnTable | undefined {
  if (cacheDir === undefined) return undefined
  const file = join(cacheDir, 'asn.bin')
  const found = tableFromFile(file, source)
  if (found) return found
  const image = build()
  try {
    writeWhole(file, image)
    return tableFromFile(file, source) ?? tableInMemory(image, source)
  } catch (error) {
    log?.warn(
      { file, why: error instanceof Error ? error.message : String(error) },
      'the compiled list of autonomous systems cannot be kept: it is made anew at each start',
    )
    return tableInMemory(image, source)
  }
}

/** Undefined where there is no such file, or it is of another list, or damaged: it is then made anew. */
function tableFromFile(file: string, source: Buffer): AsnTable | undefined {
  let fd: number
  try {
    fd = openSync(file, 'r')
  } catch {
    return undefined
  }
  const table = readTable(fd, source)
  if (!table) closeSync(fd)
  return table
}

/** The descriptor stays open for the names: another process may put a newer file in this one's place. */
function readTable(fd: number, source: Buffer): AsnTable | undefined {
  const head = Buffer.alloc(headerBytes)
  if (!filled(fd, head, 0)) return undefined
  const header = readHeader(head, source)
  if (!header) return undefined
  const searched = searchedBytes(header)
  // Against a damaged count, before memory is asked for.
  const endless = Buffer.alloc(1)
  const total = imageBytes(header)
  if (!filled(fd, endless, total - 1) || filled(fd, endless, total)) return undefined
  const body = new Uint32Array(searched / 4)
  const bytes = Buffer.from(body.buffer)
  if (!filled(fd, bytes, headerBytes)) return undefined
  let crc = crc32(bytes)
  const piece = Buffer.alloc(1 << 16)
  for (let at = headerBytes + searched; at < total; at += piece.length) {
    const part = piece.subarray(0, Math.min(piece.length, total - at))
    if (!filled(fd, part, at)) return undefined
    crc = crc32(part, crc)
  }
  if (crc !== header.crc) return undefined
  const namesAt = headerBytes + searched
  return createTable(header, body, (at, length) => {
    const part = Buffer.alloc(length)
    return filled(fd, part, namesAt + at) ? part : undefined
  })
}

function tableInMemory(image: Buffer, source: Buffer): AsnTable {
  const header = readHeader(image, source)
  if (!header) throw new Error('the image was not made from this list')
  const namesAt = headerBytes + searchedBytes(header)
  const body = new Uint32Array(Uint8Array.from(image.subarray(headerBytes, namesAt)).buffer)
  const names = Buffer.from(image.subarray(namesAt))
  return createTable(header, body, (at, length) => names.subarray(at, at + length))
}

function createTable(
  header: ImageHeader,
  body: Uint32Array,
  readNames: (at: number, length: number) => Buffer | undefined,
): AsnTable {
  let taken = 0
  const take = (length: number) => {
    taken += length
    return body.subarray(taken - length, taken)
  }
  const v4 = { starts: take(header.v4), systems: take(header.v4) }
  const v6 = { starts: take(2 * header.v6), systems: take(header.v6) }
  const fineWords = take(3 * header.fine)
  const numbers = take(header.systems)
  const fine = new Map<number, bigint>()
  for (let at = 0; at < fineWords.length; at += 3)
    fine.set(fineWords[at] ?? 0, half(fineWords[at + 1], fineWords[at + 2]))
  const known = new Map<number, string>()

  function nameOf(system: number): string {
    const name = known.get(system) ?? readName(system)
    if (known.size >= namesKnownMax) known.clear()
    known.set(system, name)
    return name
  }

  function readName(system: number): string {
    const places = readNames(4 * system, 8)
    if (!places) return ''
    const [from = 0, to = 0] = new Uint32Array(Uint8Array.from(places).buffer)
    return readNames(4 * (header.systems + 1) + from, to - from)?.toString('utf8') ?? ''
  }

  /** Of the last v6 stretch that starts at or below the address. */
  function indexV6(words: Uint32Array): number {
    const [upper1 = 0, upper2 = 0] = words
    const lower = half(words[2], words[3])
    let at = lastNotAbove(header.v6, (index) => {
      const first = v6.starts[2 * index] ?? 0
      return first === upper1 ? (v6.starts[2 * index + 1] ?? 0) <= upper2 : first < upper1
    })
    const sameUpper = () => v6.starts[2 * at] === upper1 && v6.starts[2 * at + 1] === upper2
    while (at >= 0 && (fine.get(at) ?? 0n) > lower && sameUpper()) at -= 1
    return at
  }

  return {
    find(address, family) {
      const system =
        family === 4
          ? v4.systems[lastNotAbove(header.v4, below(v4.starts, ipv4Word(address)))]
          : v6.systems[indexV6(ipv6Words(address))]
      const number = numbers[system ?? 0] ?? 0
      return { number, name: number === 0 ? '' : nameOf(system ?? 0) }
    },
  }
}

const namesKnownMax = 1024

function below(starts: Uint32Array, word: number): (index: number) => boolean {
  return (index) => (starts[index] ?? 0) <= word
}

/** The highest index for which `holds`, given that it holds up to some index and no further; -1 where for none. */
function lastNotAbove(count: number, holds: (index: number) => boolean): number {
  let low = -1
  let high = count
  while (high - low > 1) {
    const middle = (low + high) >>> 1
    if (holds(middle)) low = middle
    else high = middle
  }
  return low
}

function ipv4Word(address: string): number {
  const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number)
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0
}

function ipv6Words(address: string): Uint32Array {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address)
  if (dotted) {
    const word = ipv4Word(dotted[2] ?? '')
    return ipv6Words(`${dotted[1]}${(word >>> 16).toString(16)}:${(word & 0xffff).toString(16)}`)
  }
  const [front = '', back = ''] = address.split('::')
  const groups = new Uint16Array(8)
  const read = (text: string) => (text ? text.split(':').map((group) => Number.parseInt(group, 16)) : [])
  const tail = read(back)
  groups.set(read(front))
  groups.set(tail, 8 - tail.length)
  return Uint32Array.from(
    { length: 4 },
    (_, at) => (groups[2 * at] ?? 0) * 65_536 + (groups[2 * at + 1] ?? 0),
  )
}

function half(upper = 0, lower = 0): bigint {
  return (BigInt(upper) << 32n) | BigInt(lower)
}

function filled(fd: number, into: Buffer, at: number): boolean {
  for (let done = 0; done < into.length; ) {
    const got = readSync(fd, into, done, into.length - done, at + done)
    if (got === 0) return false
    done += got
  }
  return true
}

/** Under another name first: whoever reads sees the old file, or none, or the whole new one. */
function writeWhole(file: string, bytes: Buffer): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const half = `${file}.${randomUUID()}.tmp`
  try {
    const fd = openSync(half, 'wx', 0o600)
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(half, file)
  } finally {
    rmSync(half, { force: true })
  }
}

/** What a compiled file was made from, without reading it all: the package's version and its files' sizes. */
function identify(dir: string, v4File: string, v6File: string): Buffer {
  const { version } = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as { version: unknown }
  const parts = [version, ...[v4File, v6File].map((file) => statSync(file).size)]
  return createHash('sha256').update(JSON.stringify(parts)).digest()
}

function bundledDir(): string {
  return dirname(createRequire(import.meta.url).resolve('@ip-location-db/asn/package.json'))
}
