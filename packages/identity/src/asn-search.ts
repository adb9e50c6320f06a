/**
 * Finds an address in an image of asn-image.ts: a binary search over the words as they lie. Refuses to read a name before
 * someone asks for it, and to hold more than a few of them.
 */
import type { ImageHeader } from './asn-image.ts'

export interface AsnTable {
  /** `address` as Node's `isIP` accepts it, without a zone; `number` is 0 where no system announces it. */
  find(address: string, family: 4 | 6): { readonly number: number; readonly name: string }
}

/** `body`: what lies between the image's header and its names. `readNames`: from there on; undefined where unreadable. */
export function searchImage(
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
