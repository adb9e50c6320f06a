/**
 * The one file in which one machine and many machines differ: which part stands behind a URL. It decides by scheme
 * alone and starts nothing that the URL does not name.
 */
import type { Bus, Started } from '@portcullis/kernel'
import {
  AuditError,
  type AuditOptions,
  type AuditStore,
  type EngineAddress,
  openAuditStore,
} from './audit/index.ts'
import { BusError } from './bus/errors.ts'
import { openKafkaBus } from './bus/kafka/index.ts'
import { openEmbeddedBus } from './bus/embedded/index.ts'
import type { BusOptions } from './bus/options.ts'

export { BusError } from './bus/errors.ts'
export type { BusLogger, BusOptions } from './bus/options.ts'

/** `lmdb:DIR` (one machine, several processes) or `kafka://HOST:PORT[,HOST:PORT]`. Throws BusError('invalid_url'). */
export async function connectBus(url: string, options: BusOptions): Promise<Started<Bus>> {
  if (url.startsWith('lmdb:')) return openEmbeddedBus(url.slice('lmdb:'.length), options)
  if (url.startsWith('kafka:')) return openKafkaBus(url, options)
  // Not the URL itself: somebody may have put a password into it.
  const scheme = /^[a-z0-9+.-]*:/i.exec(url)?.[0] ?? 'no scheme'
  throw new BusError('invalid_url', `bus: ${scheme} is neither lmdb:DIR nor kafka://HOST:PORT`)
}

/**
 * `http(s)://HOST:PORT` of a ClickHouse server, or `embedded:DIR`: that engine is a process of its own, and `engine`
 * says where it listens (see `takeEngineAddress`). Connects lazily. Throws AuditError('invalid_url').
 */
export function connectAudit(
  url: string,
  options: AuditOptions & { readonly engine?: EngineAddress | undefined },
): AuditStore {
  if (!url.startsWith('embedded:')) return openAuditStore(url, options)
  if (!options.engine)
    throw new AuditError(
      'invalid_url',
      `audit: ${url} needs its engine: start the services together, or set PORTCULLIS_ENGINE_URL and PORTCULLIS_ENGINE_PASSWORD`,
    )
  const { url: engineUrl, password } = options.engine
  return openAuditStore(engineUrl, { ...options, username: 'default', password })
}
