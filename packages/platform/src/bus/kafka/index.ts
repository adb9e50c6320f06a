import type { Bus, Started } from '@portcullis/kernel'
import { BusError } from '../errors.ts'
import type { BusOptions } from '../options.ts'
export async function openKafkaBus(url: string, _options: BusOptions): Promise<Started<Bus>> {
  throw new BusError('unavailable', url)
}
