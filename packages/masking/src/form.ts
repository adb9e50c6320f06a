/** What is shown of one column's values, in one format. */
export interface Form {
  /** Bytes that it takes at most for a value of so many. */
  bytesMax(length: number): number
  /**
   * Writes what is shown of the value `from[start, end)` at `to[at, ...)` and returns its length, or -1 where NULL is
   * shown. `to` has room for `bytesMax(end - start)`. It may be `from`, with `at <= start` and that room before `end`.
   */
  write(from: Buffer, start: number, end: number, to: Buffer, at: number): number
  /**
   * Of a form that is not for every value: the bytes that this one takes, in place of `bytesMax`, or -1 where it is shown as
   * it is. The next call is `write` of the same value.
   */
  weigh?(from: Buffer, start: number, end: number): number
}

/** Shows NULL. */
export const nothing: Form = { bytesMax: () => 0, write: () => -1 }

/** Shows the same for every value. */
export function always(bytes: Buffer): Form {
  const { length } = bytes
  return {
    bytesMax: () => length,
    write(_from, _start, _end, to, at) {
      for (let index = 0; index < length; index++) to[at + index] = bytes[index] as number
      return length
    },
  }
}
