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

/** What is done to a result's column, and why. */
export interface ColumnMask extends MaskForm {
  /** As it stands on events: the stored column that it comes from. */
  readonly column: string
  readonly rule: string
}
