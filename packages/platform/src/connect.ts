/**
 * The one file in which one machine and many machines differ: which part stands behind a URL. It decides by scheme
 * alone and starts nothing that the URL does not name.
 */
import type { Bus, Started } from '@portcullis/kernel'
import { BusError } from './bus/errors.ts'
import { openKafkaBus } from './bus/kafka/index.ts'
import { openEmbeddedBus } from './bus/embedded/index.ts'
import type { BusOptions } from './bus/options.ts'

export type { BusOptions } from './bus/options.ts'

/** `lmdb:DIR` (one machine, several processes) or `kafka://HOST:PORT[,HOST:PORT]`. Throws BusError('invalid_url'). */
export async function connectBus(url: string, options: BusOptions): Promise<Started<Bus>> {
  if (url.startsWith('lmdb:')) return openEmbeddedBus(url.slice('lmdb:'.length), options)
  if (url.startsWith('kafka:')) return openKafkaBus(url, options)
  throw new BusError('invalid_url', `bus: ${JSON.stringify(url)} is neither lmdb:DIR nor kafka://HOST:PORT`)
}
