/** What masking by content asks of a detector. Refuses to say what was found: where and of which kind is enough to mask it. */

/** `bytes[start, end)` of a value. */
export interface Span {
  readonly start: number
  readonly end: number
  /** Such as `card` or `email`; stands on events. */
  readonly kind: string
}

/**
 * Finds what must not be seen in one text value, UTF-8 `bytes[start, end)`: in order, none overlapping. Called for every
 * value of a result: where nothing is found it makes nothing and returns the same empty array.
 */
export type Detect = (bytes: Buffer, start: number, end: number) => readonly Span[]
