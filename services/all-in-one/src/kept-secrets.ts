/**
 * The demo's own secrets: the same at every start, so that a line copied yesterday still works and what was sealed
 * yesterday can be opened, and read by their owner alone.
 */
import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A bearer token of the API. The folder must be held by us. */
export function keptApiToken(folder: string): string {
  return kept(join(folder, 'api-token'), 24)
}

/** What seals the signing keys of the demo's own tokens: 32 bytes. The folder must be held by us. */
export function keptOwnKey(folder: string): string {
  return kept(join(folder, 'own-key'), 32)
}

/** What seals the secrets that the demo's targets sign in with: 32 bytes. The folder must be held by us. */
export function keptSealingKey(folder: string): string {
  return kept(join(folder, 'sealing-key'), 32)
}

/** What values are masked by that `hash` and `fake` must show alike: 32 bytes. The folder must be held by us. */
export function keptMaskingKey(folder: string): string {
  return kept(join(folder, 'masking-key'), 32)
}

function kept(file: string, bytes: number): string {
  const found = existsSync(file) ? readFileSync(file, 'utf8').trim() : ''
  const isOne = /^[\w-]+$/.test(found) && Buffer.from(found, 'base64url').length === bytes
  const secret = isOne ? found : randomBytes(bytes).toString('base64url')
  writeFileSync(file, `${secret}\n`, { mode: 0o600 })
  // The mode above is for a new file only.
  chmodSync(file, 0o600)
  return secret
}
