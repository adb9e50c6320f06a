/** Records for bus tests. */
import type { Bus, BusRecord, Topic } from '@portcullis/kernel'

export function record(topic: Topic, key: string, text: string): BusRecord {
  return { topic, key, value: Buffer.from(text) }
}

/** The numbers from `from` to before `to`, over many keys. */
export function publishTo(bus: Bus, topic: Topic, from: number, to: number): Promise<void> {
  return bus.publish(range(from, to).map((at) => record(topic, `key-${at % 40}`, String(at))))
}

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, at) => from + at)
}
