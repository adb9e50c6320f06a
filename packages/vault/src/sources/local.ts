/** `env:` and `file:`: read anew each time, since nothing is nearer. */
import { readFileSync } from 'node:fs'
import { VaultError } from '../errors.ts'
import { parseReference } from '../reference.ts'
import type { Source } from '../source.ts'

/** How a source reads what it signs in with itself; those references are local, or nothing could begin. */
export type ReadLocal = (reference: string) => string

export const localSource: Source = {
  isLocal: true,
  read: async ({ text }) => ({ fields: new Map([['', readLocal(text)]]) }),
}

/** @throws VaultError naming the reference, never the value. */
export const readLocal: ReadLocal = (text) => {
  const { kind, path } = parseReference(text)
  if (kind === 'env') {
    const value = process.env[path]
    if (value === undefined || value === '')
      throw new VaultError('not_found', `${text}: the environment variable is not set`)
    return value
  }
  if (kind !== 'file') throw new VaultError('reference', `${text}: must be env:NAME or file:PATH here`)
  return readFile(path)
}

/** Its text without one trailing line break. @throws VaultError naming the path. */
export function readFile(path: string): string {
  try {
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'error'
    throw new VaultError('not_found', `file:${path}: ${words[code] ?? `cannot be read (${code})`}`)
  }
}

const words: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'this user may not read it',
  EISDIR: 'is a directory, not a file',
}
