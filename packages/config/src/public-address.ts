/** The address that clients are told to dial. It is a matter of the configuration alone: no name is looked up. */
import { ownTokenNames } from './own-tokens.ts'
import type { Config } from './schema.ts'

/** HOST:PORT of the Postgres door, from outside. */
export function publicAddress(config: Pick<Config, 'proxy' | 'identity' | 'api'>): string {
  const { publicAddress: given, listen } = config.proxy
  if (given !== undefined) return given
  const [, host = '', port = ''] = /^(.*):(\d+)$/.exec(listen.postgres) ?? []
  if (!['0.0.0.0', '[::]'].includes(host)) return listen.postgres
  const outside = new URL(ownTokenNames(config).issuer).hostname
  // An API that listens on every address as well says no more than that.
  return `${['0.0.0.0', '[::]'].includes(outside) ? '127.0.0.1' : outside}:${port}`
}
