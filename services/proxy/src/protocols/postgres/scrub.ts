/** Keeps the real user, host and password of a target out of what the server says. Looks for them first: nearly always nothing is there. */
import type { TargetAccess } from '@portcullis/kernel'
import { backend, fieldsMessage, headerBytes, parameterStatus, readFields } from './wire.ts'

export interface Scrub {
  /** An ErrorResponse or NoticeResponse, whole; the same bytes where there is nothing to hide. */
  fields(bytes: Buffer): Buffer
  /** Of an ErrorResponse: its SQLSTATE, and whether the server ends the connection with it. */
  error(bytes: Buffer): { readonly sqlstate: string; readonly isFatal: boolean }
  /** A ParameterStatus in place of the server's, where its value must be hidden. */
  setting(name: string, value: string): Buffer | undefined
}

/** Message, detail, hint, context and internal query: sentences. The others are codes, places and objects' own names. */
const texts = new Set(['M', 'D', 'H', 'W', 'q'])

export function createScrub(access: TargetAccess): Scrub {
  const { name, credentials } = access
  // Most sessions never need it: nothing is made of it before.
  let cleaning: Cleaning | undefined

  return {
    fields(bytes) {
      cleaning ??= cleaningOf(access)
      const { needles, clean } = cleaning
      if (!needles.some((needle) => bytes.includes(needle))) return bytes
      const fields = Object.entries(readFields(bytes.subarray(headerBytes))).map(([code, value]) => [
        code,
        texts.has(code) ? clean(value) : value,
      ])
      return fieldsMessage(bytes[0] ?? backend.error, Object.fromEntries(fields))
    },
    error(bytes) {
      const { C: sqlstate = '', V: severity = '' } = readFields(bytes.subarray(headerBytes))
      return { sqlstate, isFatal: severity === 'FATAL' || severity === 'PANIC' }
    },
    setting: (setting, value) =>
      setting === 'session_authorization' && value === credentials.user
        ? parameterStatus(setting, name)
        : undefined,
  }
}

interface Cleaning {
  readonly needles: readonly Buffer[]
  readonly clean: (text: string) => string
}

function cleaningOf({ name, hosts, credentials }: TargetAccess): Cleaning {
  const secrets: [string, string][] = [
    [`"${credentials.user}"`, `"${name}"`],
    ...hosts.flatMap(({ host, port }): [string, string][] => [
      [`${host}:${port}`, name],
      [`"${host}"`, `"${name}"`],
      [`(${host})`, `(${name})`],
    ]),
  ]
  if (credentials.password.length >= 4) secrets.push([credentials.password, '***'])
  // The server also names roles without quotes: `privileges for role app`, `user mapping for app`.
  const bareUser = new RegExp(`(?<![\\w"])${RegExp.escape(credentials.user)}(?![\\w"])`, 'g')
  return {
    needles: [credentials.user, ...secrets.map(([secret]) => secret)].map((secret) => Buffer.from(secret)),
    clean: (text) =>
      secrets
        .reduce((cleaned, [secret, shown]) => cleaned.replaceAll(secret, shown), text)
        .replaceAll(bareUser, () => name),
  }
}
