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
