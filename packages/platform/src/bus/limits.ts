/** Bounds that hold on every bus, so that what one accepts the other does too. */
import type { BusRecord } from '@portcullis/kernel'
import { BusError } from './errors.ts'

/** Key and value of one record together. New Kafka topics are created with room for it. */
export const recordBytesMax = 4 * 1024 * 1024

export const batchRecordsMaxDefault = 500
export const batchBytesMaxDefault = 1024 * 1024
export const publishTimeoutMsDefault = 30_000
export const sessionTimeoutMsDefault = 10_000

export interface BatchLimits {
  readonly recordsMax: number
  readonly bytesMax: number
}

export function recordBytes(record: BusRecord): number {
  return Buffer.byteLength(record.key) + (record.value?.byteLength ?? 0)
}

/** Refuses what no retry can deliver, before anything of the call is written. */
export function checkRecord(record: BusRecord): void {
  if (record.key === '') throw new BusError('invalid_record', `${record.topic}: a record needs a key`)
  const bytes = recordBytes(record)
  if (bytes > recordBytesMax)
    throw new BusError(
      'invalid_record',
      `${record.topic}: a record of ${bytes} bytes is over ${recordBytesMax}; split it`,
    )
}
