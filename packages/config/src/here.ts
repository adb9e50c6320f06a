/**
 * What a valid configuration needs of the machine it runs on: secrets that can be read, files that are there, addresses
 * that differ. It reads no more than it must, and never says what a secret holds.
 */
import { createPrivateKey } from 'node:crypto'
import { accessSync, constants, statSync } from 'node:fs'
import { sharePort } from './addresses.ts'
import type { Problem } from './cross-checks.ts'
import { ConfigError } from './errors.ts'
import { peopleKeyCharsMin } from './people-schema.ts'
import { type Place, placesIn } from './places.ts'
import { apiTokenCharsMin, type Config } from './schema.ts'
import { masterKeyCharsMin } from './secrets-schema.ts'
import { isKey, keyComplaint, resolveSecret } from './secret.ts'

/** Slack's have 32; whoever guesses one can answer for anybody. */
const signingSecretCharsMin = 16

export type Found = {
  /** Wrong wherever it runs. */
  readonly wrong: readonly Problem[]
  /** What another machine may have. */
  readonly missing: readonly Problem[]
}

export function lookHere(config: Config): Found {
  const wrong: Problem[] = []
  const missing: Problem[] = sharedAddresses(config)
  for (const place of placesIn(config)) {
    const { path } = place
    try {
      if (place.kind === 'file') assertReadable(place.value)
      else {
        const complaint = complaintOf(place, resolveSecret(place.value))
        if (complaint !== undefined) wrong.push({ path, message: `${place.value}: ${complaint}` })
      }
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      missing.push({ path, message: error.message })
    }
  }
  return { wrong, missing }
}

/** The services that use them would say so at their start only, and each for itself. */
function complaintOf({ path }: Place, secret: string): string | undefined {
  const charsMin = charsMinOf(path)
  if (secret.length < charsMin) return `must have at least ${charsMin} characters`
  const key = path.join('.')
  if (key === 'masking.key' && !isKey(secret)) return keyComplaint
  return key === 'ssh.ca' && !isEd25519Key(secret)
    ? 'must hold an Ed25519 private key as PEM: openssl genpkey -algorithm ed25519 makes one'
    : undefined
}

/** Of a secret that could be guessed. */
function charsMinOf(path: Place['path']): number {
  if (path[0] === 'people' && path[1] === 'key') return peopleKeyCharsMin
  if (path[0] === 'secrets' && path[1] === 'sealing') return masterKeyCharsMin
  if (path[0] === 'identity' && path[1] === 'own') return masterKeyCharsMin
  if (path[0] === 'approvals' && path.at(-1) === 'signingSecret') return signingSecretCharsMin
  return path[0] === 'api' && path[1] === 'tokens' ? apiTokenCharsMin : 0
}

function isEd25519Key(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === 'ed25519'
  } catch {
    return false
  }
}

function assertReadable(file: string): void {
  try {
    accessSync(file, constants.R_OK)
    if (statSync(file).isDirectory()) throw Object.assign(new Error('a directory'), { code: 'EISDIR' })
  } catch (cause) {
    throw ConfigError.unreadable(file, cause)
  }
}

/** Services that run apart may each have the same address; on one machine they cannot. */
function sharedAddresses({ proxy, analyzer, projector, alerts, api }: Config): Problem[] {
  const all: { path: readonly string[]; address: string }[] = [
    { path: ['proxy', 'listen', 'postgres'], address: proxy.listen.postgres },
    { path: ['proxy', 'health'], address: proxy.health },
    { path: ['analyzer', 'health'], address: analyzer.health },
    { path: ['projector', 'health'], address: projector.health },
    { path: ['alerts', 'health'], address: alerts.health },
    { path: ['api', 'listen'], address: api.listen },
  ]
  return all.flatMap(({ path, address }, index) => {
    const other = all.slice(0, index).find((earlier) => sharePort(earlier.address, address))
    const message = `${address} is the address of ${other?.path.join('.')} already: one machine cannot run both`
    return other ? [{ path, message }] : []
  })
}
