/**
 * Resolves the references that a service needs before it can do anything: its own tokens, keys and passwords, `env:` and
 * `file:`. What a target's sessions need while the proxy runs, of every kind, is the business of packages/vault.
 */
import { readFileSync } from 'node:fs'
import { ConfigError } from './errors.ts'

/** The secret behind `env:NAME` or `file:PATH` (one trailing line break is dropped). @throws ConfigError('secret') naming the reference, never the value. */
export function resolveSecret(reference: string): string {
  if (reference.startsWith('env:')) {
    const value = process.env[reference.slice(4)]
    if (value === undefined || value === '')
      throw new ConfigError('secret', [`${reference}: the environment variable is not set`])
    return value
  }
  if (reference.startsWith('file:')) {
    try {
      return readFileSync(reference.slice(5), 'utf8').replace(/\r?\n$/, '')
    } catch (cause) {
      throw ConfigError.unreadable(reference, cause)
    }
  }
  throw new ConfigError('secret', ['a secret must be referred to as env:NAME or file:PATH'])
}

/** 32 bytes that stand behind a reference, in base64 or as 64 hexadecimal digits. @throws ConfigError('secret') */
export function resolveKey(reference: string): Buffer {
  const bytes = keyIn(resolveSecret(reference))
  if (bytes.length !== keyBytes) throw new ConfigError('secret', [`${reference}: ${keyComplaint}`])
  return bytes
}

export function isKey(secret: string): boolean {
  return keyIn(secret).length === keyBytes
}

export const keyComplaint =
  'must be 32 bytes, in base64 or 64 hexadecimal digits: openssl rand -base64 32 makes them'

const keyBytes = 32

function keyIn(secret: string): Buffer {
  const text = secret.trim()
  return Buffer.from(text, /^[0-9a-f]{64}$/i.test(text) ? 'hex' : 'base64')
}
