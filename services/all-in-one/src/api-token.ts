/** The demo's API token: the same at every start, so that a line copied yesterday still works, and read by its owner alone. */
import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** The folder must be held by us. */
export function keptApiToken(folder: string): string {
  const file = join(folder, 'api-token')
  const kept = existsSync(file) ? readFileSync(file, 'utf8').trim() : ''
  const token = /^[\w-]{32}$/.test(kept) ? kept : randomBytes(24).toString('base64url')
  writeFileSync(file, `${token}\n`, { mode: 0o600 })
  // The mode above is for a new file only.
  chmodSync(file, 0o600)
  return token
}
