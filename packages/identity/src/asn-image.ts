/**
 * The bundled list of networks and their autonomous systems (RouteViews, the regional registries and DB-IP, CC BY 4.0;
 * see NOTICE) -> one compact image that is searched as it lies. Refuses a list that it does not understand to the last
 * line: a table with holes would call known networks unknown.
 *
 * An image is words of 32 bits in this machine's byte order, since it never leaves the machine:
 *
 *    header    magic, format, counts (v4, v6, fine, systems), bytes of names, CRC-32 of all that follows, SHA-256 of
 *              what it was made from (8 words)
 *    v4        starts of stretches; for each the system that holds it, 0 for none
 *    v6        upper halves of starts (2 words each); systems
 *    fine      the few v6 starts whose lower half is not 0: place among v6, lower half (2 words)
 *    systems   their numbers; the first is 0, for none
 *    names     where each name starts among the names (one more for the end), then the names in UTF-8
 *
 * Everything before `names` is held in memory (6 MB); a name is read when it is asked for.
 */
import { closeSync, openSync, readSync } from 'node:fs'
import { crc32 } from 'node:zlib'

export const headerBytes = 64

export interface ImageHeader {
  readonly v4: number
  readonly v6: number
  readonly fine: number
  readonly systems: number
  readonly nameBytes: number
  readonly crc: number
}

/** Throws Error that names the file and the line which cannot be read. About half a second of one core. */
export function buildImage(v4File: string, v6File: string, source: Buffer): Buffer {
  const systems = createSystems()
  const v4 = { starts: words(1 << 19), systems: words(1 << 19) }
  // A stretch ends where the next begins, or, before a gap, where a stretch of none begins.
  let free = 0
  readRanges(v4File, systems.indexOf, readNumber, (start, end, system) => {
    if (start > free) v4.systems.push(v4.starts.push(free) && 0)
    v4.systems.push(v4.starts.push(start) && system)
    free = end + 1
  })
  if (free < 2 ** 32) v4.systems.push(v4.starts.push(free) && 0)

  const v6 = { starts: words(1 << 19), systems: words(1 << 18), fine: words(1 << 10) }
  const halves = new DataView(new ArrayBuffer(16))
  const pushV6 = (start: bigint, system: number) => {
    halves.setBigUint64(0, start >> 64n)
    halves.setBigUint64(8, start)
    const [high1, high2] = [halves.getUint32(0), halves.getUint32(4)]
    const [low1, low2] = [halves.getUint32(8), halves.getUint32(12)]
    if (low1 !== 0 || low2 !== 0) for (const word of [v6.systems.length, low1, low2]) v6.fine.push(word)
    v6.starts.push(high1)
    v6.starts.push(high2)
    v6.systems.push(system)
  }
  let freeV6 = 0n
  readRanges(v6File, systems.indexOf, readBigInt, (start, end, system) => {
    if (start > freeV6) pushV6(freeV6, 0)
    pushV6(start, system)
    freeV6 = end + 1n
  })
  if (freeV6 < 1n << 128n) pushV6(freeV6, 0)

  const { numbers, nameStarts, names } = systems.finish()
  const parts = [v4.starts, v4.systems, v6.starts, v6.systems, v6.fine, numbers, nameStarts]
  const image = Buffer.concat([Buffer.alloc(headerBytes), ...parts.map((list) => list.bytes()), names])
  const counts = [v4.systems.length, v6.systems.length, v6.fine.length / 3, numbers.length, names.length]
  const header = Uint32Array.from([magic, format, ...counts, crc32(image.subarray(headerBytes))])
  image.set(Buffer.from(header.buffer), 0)
  image.set(source.subarray(0, 32), 32)
  return image
}

/** Undefined where these bytes do not begin an image of this format, made from this source. */
export function readHeader(bytes: Buffer, source: Buffer): ImageHeader | undefined {
  if (bytes.length < headerBytes || !bytes.subarray(32, headerBytes).equals(source)) return undefined
  const [foundMagic, foundFormat, v4 = 0, v6 = 0, fine = 0, systems = 0, nameBytes = 0, crc = 0] =
    new Uint32Array(Uint8Array.from(bytes.subarray(0, 32)).buffer)
  if (foundMagic !== magic || foundFormat !== format) return undefined
  return { v4, v6, fine, systems, nameBytes, crc }
}

/** Of the part that is searched, between the header and `names`. */
export function searchedBytes({ v4, v6, fine, systems }: ImageHeader): number {
  return 4 * (2 * v4 + 3 * v6 + 3 * fine + systems)
}

export function imageBytes(header: ImageHeader): number {
  return headerBytes + searchedBytes(header) + 4 * (header.systems + 1) + header.nameBytes
}

const magic = 0x4e534350
const format = 1
const nameCharsMax = 256
const chunkBytes = 1 << 20

interface Words {
  readonly length: number
  /** Returns the new length. */
  push(word: number): number
  bytes(): Buffer
}

function words(atFirst: number): Words {
  let held = new Uint32Array(atFirst)
  let length = 0
  return {
    get length() {
      return length
    },
    push(word) {
      if (length === held.length) {
        const more = new Uint32Array(2 * length)
        more.set(held)
        held = more
      }
      held[length] = word
      length += 1
      return length
    },
    bytes: () => Buffer.from(held.buffer, 0, 4 * length),
  }
}

function createSystems() {
  const indexes = new Map<number, number>([[0, 0]])
  const numbers = words(1 << 17)
  const nameStarts = words(1 << 17)
  let names = Buffer.alloc(1 << 22)
  let nameBytes = 0
  const add = (number: number, name: Buffer) => {
    numbers.push(number)
    nameStarts.push(nameBytes)
    if (nameBytes + name.length > names.length) names = Buffer.concat([names, Buffer.alloc(names.length)])
    nameBytes += name.copy(names, nameBytes)
  }
  add(0, Buffer.alloc(0))
  return {
    indexOf(number: number, chunk: Buffer, nameFrom: number, nameTo: number): number {
      const known = indexes.get(number)
      if (known !== undefined) return known
      indexes.set(number, indexes.size)
      const field = chunk.subarray(nameFrom, nameTo)
      add(number, field[0] === quote || field.length > nameCharsMax ? Buffer.from(plain(field)) : field)
      return indexes.size - 1
    },
    finish() {
      nameStarts.push(nameBytes)
      return { numbers, nameStarts, names: names.subarray(0, nameBytes) }
    },
  }
}

/** A field of RFC 4180 without its quotes. */
function plain(field: Buffer): string {
  const text = field.toString('utf8')
  return (text.startsWith('"') ? text.slice(1, -1).replaceAll('""', '"') : text).slice(0, nameCharsMax)
}

const quote = 0x22

/** A decimal number that a comma ends: the number, or undefined where there is none. `at.next` is left after the comma. */
type Read<N> = (chunk: Buffer, at: { next: number }) => N | undefined

/** Lines of `start,end,number,name` in ascending order; where two overlap, the later begins and the earlier ends. */
function readRanges<N extends number | bigint>(
  file: string,
  indexOf: (number: number, chunk: Buffer, nameFrom: number, nameTo: number) => number,
  read: Read<N>,
  each: (start: N, end: N, system: number) => void,
): void {
  let lineNumber = 0
  let last: N | undefined
  const at = { next: 0 }
  readLines(file, (chunk, from, to) => {
    lineNumber += 1
    at.next = from
    const start = read(chunk, at)
    const end = read(chunk, at)
    const number = readNumber(chunk, at)
    if (at.next > to || start === undefined || end === undefined || number === undefined)
      throw new Error(`${file}:${lineNumber}: not a range of addresses, a number and a name`)
    if (end < start || (last !== undefined && start <= last))
      throw new Error(`${file}:${lineNumber}: the ranges are not in ascending order`)
    last = start
    each(start, end, indexOf(number, chunk, at.next, to))
  })
}

const comma = 0x2c
const newline = 0x0a

/** Byte by byte: half a million lines made into strings first would take four times as long. */
function readNumber(chunk: Buffer, at: { next: number }): number | undefined {
  const from = at.next
  let number = 0
  let byte = chunk[at.next] ?? 0
  for (; byte >= zero && byte <= nine; byte = chunk[at.next] ?? 0) {
    number = number * 10 + byte - zero
    at.next += 1
  }
  const good = at.next > from && byte === comma && number < 2 ** 32
  at.next += 1
  return good ? number : undefined
}

function readBigInt(chunk: Buffer, at: { next: number }): bigint | undefined {
  const from = at.next
  const to = chunk.indexOf(comma, from)
  at.next = to + 1
  const text = to - from > 39 ? '' : chunk.toString('latin1', from, Math.max(from, to))
  if (!/^\d+$/.test(text)) return undefined
  const number = BigInt(text)
  return number >> 128n === 0n ? number : undefined
}

const zero = 0x30
const nine = 0x39

/** In pieces, so that building costs little memory. */
function readLines(file: string, each: (chunk: Buffer, from: number, to: number) => void): void {
  const chunk = Buffer.alloc(chunkBytes)
  const fd = openSync(file, 'r')
  try {
    for (let held = 0; ; ) {
      const got = readSync(fd, chunk, held, chunk.length - held, null)
      const bytes = chunk.subarray(0, held + got)
      let from = 0
      for (let to = bytes.indexOf(newline); to >= 0; to = bytes.indexOf(newline, from)) {
        each(bytes, from, to)
        from = to + 1
      }
      if (got === 0) {
        if (from < bytes.length) each(bytes, from, bytes.length)
        return
      }
      if (from === 0 && bytes.length === chunk.length) throw new Error(`${file}: a line is too long`)
      bytes.copy(chunk, 0, from)
      held = bytes.length - from
    }
  } finally {
    closeSync(fd)
  }
}
