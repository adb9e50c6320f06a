import type { MaskForm } from './mask.ts'

/**
 * What can be told from a value's content alone, by the names that rules and events use. Refuses to hold how anything is
 * recognised.
 */
const nationalIds = [
  'us-ssn',
  'uk-nino',
  'uk-nhs',
  'de-steuer-id',
  'fr-nir',
  'es-dni',
  'it-codice-fiscale',
  'nl-bsn',
  'pl-pesel',
  'se-personnummer',
  'br-cpf',
  'in-aadhaar',
] as const

const secrets = ['key', 'private-key', 'jwt'] as const

export const contentKinds = ['card', 'iban', 'email', 'phone', ...secrets, ...nationalIds] as const

export type ContentKind = (typeof contentKinds)[number]

/** Several kinds by one word. */
export const contentGroups = { all: contentKinds, secrets, 'national-ids': nationalIds } as const

export type ContentGroup = keyof typeof contentGroups

/** What a rule or a setting looks for. */
export interface ContentSearch {
  readonly detect: readonly (ContentKind | ContentGroup)[]
  /** Kinds of the user's own: regular expressions in RE2's syntax by name. */
  readonly patterns: Readonly<Record<string, string>>
}

/** `bytes[start, end)` of a value. */
export interface Span {
  readonly start: number
  readonly end: number
  /** A `ContentKind`, or the name of a pattern of the user's own. */
  readonly kind: string
}

/**
 * Finds what must not be seen in one text value, UTF-8 `bytes[start, end)`: in order, none overlapping. Called for every
 * value of a result: where nothing is found it makes nothing and returns the same empty array.
 */
export type Detect = (bytes: Uint8Array, start: number, end: number) => readonly Span[]

/** What of any value is masked by what it is, whatever column it stands in. */
export interface ContentMask {
  readonly detect: Detect
  /** How a find of this kind is shown. */
  formOf(kind: string): MaskForm
  /** The strictest rule of those that ask for it. */
  readonly rule: string
  /** What another service finds; absent where none is asked. */
  readonly remote?: RemoteFinds | undefined
}

export interface RemoteFinds {
  /** To be asked for texts before they are masked. Rejects where there was no answer. */
  ask(texts: readonly string[]): Promise<void>
  /** What was found, in bytes of UTF-8 and in order of their beginning; undefined for what was not answered. */
  finds(text: string): readonly Span[] | undefined
  /** What is not answered is not shown at all; false: its values are masked as a whole. */
  readonly refuses: boolean
}
