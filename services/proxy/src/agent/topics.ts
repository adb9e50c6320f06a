/** How each topic is kept. The proxy is the first to publish, so its agent makes what is missing. */
import { type TopicSpec, topics } from '@portcullis/kernel'

const dayMs = 86_400_000

export function topicSpecs(bus: {
  readonly partitions: number
  readonly retentionDays: number
}): TopicSpec[] {
  const timed = { cleanup: 'delete', retentionMs: bus.retentionDays * dayMs } as const
  const latest = { cleanup: 'compact', retentionMs: -1 } as const
  const { partitions } = bus
  return [
    { topic: topics.sessions, partitions, ...timed },
    { topic: topics.commands, partitions, ...timed },
    { topic: topics.recordings, partitions, ...timed },
    { topic: topics.findings, partitions, ...timed },
    { topic: topics.signIns, partitions: 1, ...timed },
    // One partition: the log's order decides between two writers, for ever.
    { topic: topics.control, partitions: 1, cleanup: 'delete', retentionMs: -1 },
    { topic: topics.verdicts, partitions: 1, ...latest },
    { topic: topics.baselines, partitions, ...latest },
  ]
}
