/** What a kind of source must be, so that a new one is one file. It keeps no value: caching is the vault's. */
import { VaultError } from './errors.ts'
import type { Reference } from './reference.ts'

/** One secret as it was read in one go, so that a user and its password are of the same reading. */
export interface Document {
  /** By name of the field; the whole is under ''. */
  readonly fields: ReadonlyMap<string, string>
  /** Where the source lends it. */
  readonly lease?: Lease
}

export interface Lease {
  readonly id: string
  readonly durationMs: number
  readonly renewable: boolean
  /** The source's login it was lent to: when that ends, so does the lease. Changes with each login. */
  readonly login: number
}

export interface Source {
  /** Whether it can be read for each session, and says by itself what is new: then nothing is cached. */
  readonly isLocal?: true
  /** Rejects with VaultError. Bounded in time. */
  read(reference: Reference): Promise<Document>
  /** The new duration in milliseconds. Rejects with VaultError: `unavailable` may be tried again, the rest is final. */
  renew?(lease: Lease): Promise<number>
  /** Nobody uses it any more. Rejects with VaultError. */
  revoke?(lease: Lease): Promise<void>
  /** The login that a lease would be lent to now. */
  login?(): number
  stop?(): void
}

/** @throws VaultError('not_found') */
export function fieldOf(document: Document, { field, text }: Reference): string {
  const value = document.fields.get(field)
  if (value !== undefined) return value
  throw new VaultError('not_found', `${text}: the secret has no field "${field}"`)
}

/** What of an object can be a secret's fields: texts, and numbers and truth values as they are written. */
export function fieldsOf(object: Readonly<Record<string, unknown>>): Map<string, string> {
  return new Map(
    Object.entries(object).flatMap(([name, value]): [string, string][] =>
      typeof value === 'string'
        ? [[name, value]]
        : typeof value === 'number' || typeof value === 'boolean'
          ? [[name, String(value)]]
          : [],
    ),
  )
}

/** What a status says of the source itself, in words of our own: its body may hold anything. */
export function refusedAs(status: number, whose: string, subject: string): VaultError {
  if (status === 404) return new VaultError('not_found', `${subject}: ${whose} has no such secret`)
  if (status === 401 || status === 403)
    return new VaultError('denied', `${subject}: ${whose} does not let the gate read it (status ${status})`)
  if (status === 429 || status >= 500)
    return new VaultError('unavailable', `${subject}: ${whose} cannot serve now (status ${status})`)
  const redirects =
    status >= 300 && status < 400 ? ': redirects are not followed, since a token would go along' : ''
  return new VaultError('malformed', `${subject}: ${whose} answered with status ${status}${redirects}`)
}
