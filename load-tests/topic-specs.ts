/** Topics as the proxy makes them, for runs that must have them before it starts. */
import { type TopicSpec, topics } from '@portcullis/kernel'

const ordered: ReadonlySet<string> = new Set([topics.control, topics.verdicts, topics.signIns])
const compacted: ReadonlySet<string> = new Set([topics.verdicts, topics.baselines])

/** `partitions`: of each topic that may have more than one. */
export function topicSpecs(partitions: number): TopicSpec[] {
  return Object.values(topics).map((topic) => ({
    topic,
    partitions: ordered.has(topic) ? 1 : partitions,
    cleanup: compacted.has(topic) ? 'compact' : 'delete',
    retentionMs: -1,
  }))
}
