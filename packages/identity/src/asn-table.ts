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
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { buildImage, headerBytes, imageBytes, readHeader, searchedBytes } from './asn-image.ts'
import { type AsnTable, searchImage } from './asn-search.ts'
import { IdentityError } from './errors.ts'

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
  return searchImage(header, body, (at, length) => {
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
  return searchImage(header, body, (at, length) => names.subarray(at, at + length))
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
  removeLeftovers(file)
  const part = `${file}.${randomUUID()}.tmp`
  try {
    const fd = openSync(part, 'wx', 0o600)
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(part, file)
  } finally {
    rmSync(part, { force: true })
  }
}

/** What a process that was killed while it wrote has left. */
function removeLeftovers(file: string): void {
  for (const name of readdirSync(dirname(file))) {
    if (!name.startsWith(`${basename(file)}.`) || !name.endsWith('.tmp')) continue
    const left = join(dirname(file), name)
    const stats = statSync(left, { throwIfNoEntry: false })
    if (stats && Date.now() - stats.mtimeMs > leftoverAgeMsMin) rmSync(left, { force: true })
  }
}

/** Nobody takes as long as this to write. */
const leftoverAgeMsMin = 3_600_000

/** What a compiled file was made from, without reading it all: the package's version and its files' sizes. */
function identify(dir: string, v4File: string, v6File: string): Buffer {
  const { version } = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as { version: unknown }
  const parts = [version, ...[v4File, v6File].map((file) => statSync(file).size)]
  return createHash('sha256').update(JSON.stringify(parts)).digest()
}

function bundledDir(): string {
  return dirname(createRequire(import.meta.url).resolve('@ip-location-db/asn/package.json'))
}
