/**
 * Settings: the option, else the environment, else what the last login left. It refuses an address that a token could be
 * read on the way to.
 */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { type Options, textOption } from './command.ts'
import { CliError, messageOf } from './errors.ts'

export function configDir(env: NodeJS.ProcessEnv): string {
  if (env.PORTCULLIS_CONFIG_DIR) return env.PORTCULLIS_CONFIG_DIR
  return join(env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'portcullis')
}

/** The address of the API, without a slash at its end. @throws CliError usage */
export function apiUrl(options: Options, env: NodeJS.ProcessEnv, lastUsed: string | undefined): string {
  const given = textOption(options, 'url') ?? (env.PORTCULLIS_URL || lastUsed)
  if (given === undefined)
    throw new CliError(
      'usage',
      'which gate is meant is not said',
      'set PORTCULLIS_URL=https://GATE, or give --url https://GATE',
    )
  const url = URL.parse(given)
  if (!url || !['http:', 'https:'].includes(url.protocol) || url.username || url.search || url.hash)
    throw new CliError(
      'usage',
      `${JSON.stringify(given)} is no address of a gate`,
      'give https://HOST[:PORT]',
    )
  if (url.protocol === 'http:' && !isLoopback(url.hostname))
    throw new CliError(
      'usage',
      `${given}: a token would travel where anyone can read it`,
      'use https; http is for a gate on this machine',
    )
  return url.href.replace(/\/+$/, '')
}

export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i.test(host)
}

/** PORTCULLIS_CA: a PEM file with further authorities, for the API and for the doors. @throws CliError file */
export function trustCa(env: NodeJS.ProcessEnv): void {
  if (!env.PORTCULLIS_CA) return
  try {
    setDefaultCACertificates([...getCACertificates('default'), readFileSync(env.PORTCULLIS_CA, 'utf8')])
  } catch (cause) {
    throw new CliError(
      'file',
      `PORTCULLIS_CA=${env.PORTCULLIS_CA} cannot be used: ${messageOf(cause)}`,
      "point it at a PEM file with the certificate of the gate's authority",
      { cause },
    )
  }
}
