/** kafkajs's messages as the bus's records, in pieces that a handler may get at once. */
import type { Received, TopicPartition } from '@portcullis/kernel'
import type { KafkaMessage } from 'kafkajs'
import type { BatchLimits } from '../limits.ts'

export function* pieces(messages: readonly KafkaMessage[], limits: BatchLimits): Generator<KafkaMessage[]> {
  let piece: KafkaMessage[] = []
  let bytes = 0
  for (const message of messages) {
    const size = (message.value?.length ?? 0) + (message.key?.length ?? 0)
    if (piece.length > 0 && (piece.length >= limits.recordsMax || bytes + size > limits.bytesMax)) {
      yield piece
      piece = []
      bytes = 0
    }
    piece.push(message)
    bytes += size
  }
  if (piece.length > 0) yield piece
}

export function received({ topic, partition }: TopicPartition, message: KafkaMessage): Received {
  return {
    topic,
    partition,
    offset: Number(message.offset),
    key: message.key?.toString() ?? '',
    value: message.value,
    publishedMs: Number(message.timestamp),
  }
}
