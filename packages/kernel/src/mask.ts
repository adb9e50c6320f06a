/**
 * How a value is shown to whoever may not see it: not at all; its end; as a keyed hash, the same for the same value; as
 * nothing; as another of the same shape.
 */
export type MaskMethod = 'redact' | 'partial' | 'hash' | 'null' | 'fake'

export interface MaskForm {
  readonly method: MaskMethod
  /** How many characters at the end of a value `partial` leaves, at most half of it. */
  readonly keep: number
}
