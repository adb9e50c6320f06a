/**
 * Guard: avsc believes an array's or map's count, so a few corrupt bytes make it allocate gigabytes or loop for hours
 * before it sees that the buffer ended. Here a count beyond the bytes that are left ends the decoding instead. It
 * changes avsc 5.7's classes in place, since their instances are frozen and there is no seam; codec.test.ts fails where
 * avsc no longer reads this way.
 */
import avro from 'avsc'

/** Once is enough, again does no harm. Every item of our schemas takes at least a byte. */
export function boundCounts(): void {
  Object.assign(avro.types.ArrayType.prototype, { _read: readArray, _skip: skipArray })
  Object.assign(avro.types.MapType.prototype, { _read: readMap, _skip: skipMap })
}

/** What avsc reads from; a position beyond the buffer means that it was truncated. */
interface Tap {
  pos: number
  readonly buf: Uint8Array
  readLong(): number
  skipLong(): void
  readString(): string
  skipString(): void
}
interface Reader {
  _read(tap: Tap): unknown
  _skip(tap: Tap): void
}

function readArray(this: { readonly itemsType: Reader }, tap: Tap): unknown[] {
  const items: unknown[] = []
  for (let count = readCount(tap); count > 0; count = readCount(tap))
    for (; count > 0; count--) items.push(this.itemsType._read(tap))
  return items
}

function skipArray(this: { readonly itemsType: Reader }, tap: Tap): void {
  for (let count = readCount(tap); count > 0; count = readCount(tap))
    for (; count > 0; count--) this.itemsType._skip(tap)
}

function readMap(this: { readonly valuesType: Reader }, tap: Tap): Record<string, unknown> {
  const entries: [string, unknown][] = []
  for (let count = readCount(tap); count > 0; count = readCount(tap))
    for (; count > 0; count--) entries.push([tap.readString(), this.valuesType._read(tap)])
  // Keeps a key such as __proto__, which an assignment would lose.
  return Object.fromEntries(entries)
}

function skipMap(this: { readonly valuesType: Reader }, tap: Tap): void {
  for (let count = readCount(tap); count > 0; count = readCount(tap))
    for (; count > 0; count--) {
      tap.skipString()
      this.valuesType._skip(tap)
    }
}

/** Of the next block; 0 after the last. Avro specification, "Arrays": negative where a size in bytes follows. */
function readCount(tap: Tap): number {
  let count = tap.readLong()
  if (count < 0) {
    count = -count
    tap.skipLong()
  }
  if (count <= tap.buf.length - tap.pos) return count
  tap.pos = tap.buf.length + 1
  return 0
}
