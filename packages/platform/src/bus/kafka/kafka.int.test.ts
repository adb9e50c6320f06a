import { busContract } from '@portcullis/testkit/bus-contract'
import { startKafka } from '@portcullis/testkit/kafka'

busContract('Kafka bus', async () => {
  const kafka = await startKafka()
  if ('missing' in kafka) return kafka
  return {
    url: `kafka://${kafka.brokers}`,
    options: { kafka: { topicConfig: fastCleaning } },
    stop: kafka.stop,
  }
})

/** Segments that close soon, since the cleaner leaves the open one alone. */
const fastCleaning = {
  'segment.ms': '500',
  'min.cleanable.dirty.ratio': '0.01',
  'delete.retention.ms': '200',
  'min.compaction.lag.ms': '0',
}
