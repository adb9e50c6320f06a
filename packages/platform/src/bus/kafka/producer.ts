/**
 * Writes to Kafka: idempotent, acknowledged by all in-sync replicas, one request in flight, so that a key's records
 * keep their order through retries. After any failure the producer is made anew: its sequence numbers may be ahead of
 * or behind the broker's, and a broker takes a new batch under an old number for a repeat, acknowledges it and drops it.
 */
import type { BusRecord } from '@portcullis/kernel'
import { CompressionTypes, type Kafka, Partitioners, type Producer } from 'kafkajs'
import { BusError } from '../errors.ts'
import type { BusLogger } from '../options.ts'

export interface Writer {
  write(records: readonly BusRecord[]): Promise<void>
  close(): Promise<void>
}

export function createWriter(kafka: Kafka, logger: BusLogger): Writer {
  let connected: Promise<Producer> | undefined

  async function connect(): Promise<Producer> {
    const producer = kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
      // Long enough for a broker to restart, under the same sequence numbers, so that the broker drops what it has. Not
      // for ever: a producer that was given up must have stopped trying, or it would write old records after new ones.
      retry: { retries: 12, initialRetryTime: 50, maxRetryTime: 1_000 },
    })
    await producer.connect()
    return producer
  }

  async function discard(old: Promise<Producer>): Promise<void> {
    if (connected === old) connected = undefined
    try {
      const producer = await old
      await producer.disconnect()
    } catch (error) {
      logger.debug({ err: error }, 'a failed producer could not be disconnected')
    }
  }

  return {
    async write(records) {
      connected ??= connect()
      const current = connected
      try {
        const producer = await current
        await producer.sendBatch({
          acks: -1,
          timeout: 10_000,
          compression: CompressionTypes.None,
          topicMessages: [...Map.groupBy(records, ({ topic }) => topic)].map(([topic, part]) => ({
            topic,
            messages: part.map(({ key, value }) => ({ key, value: value && asBuffer(value) })),
          })),
        })
      } catch (error) {
        // Not awaited: disconnecting may hang on the very connection that failed.
        void discard(current)
        throw translate(error)
      }
    },
    async close() {
      if (connected) await discard(connected)
    },
  }
}

/** Final errors become BusErrors, which are not retried; the rest stays what it is. */
export function translate(error: unknown): unknown {
  const type = brokerErrorType(error)
  if (type === 'UNKNOWN_TOPIC_OR_PARTITION' || type === 'INVALID_TOPIC_EXCEPTION')
    return new BusError('unknown_topic', 'a topic does not exist: ensureTopics creates it', { cause: error })
  if (type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE')
    return new BusError(
      'invalid_record',
      "a record is over the topic's max.message.bytes; raise that or split it",
      {
        cause: error,
      },
    )
  return error
}

/** The protocol's error name, wherever kafkajs wrapped it. */
export function brokerErrorType(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause)
    if ('type' in at && typeof at.type === 'string') return at.type
  return undefined
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
