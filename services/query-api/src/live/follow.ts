/** Follows the bus for the live view and for what holds now. It reads only; no group, so every replica sees everything. */
import { type Bus, type Received, type Started, topics, type TailOptions } from '@portcullis/kernel'
import type { Codecs } from '@portcullis/platform/codec'
import type { Books } from './books.ts'
import { commandEvent, type Feed, findingEvent, type LiveEvent, verdictEvent } from './feed.ts'

export interface FollowOptions {
  readonly bus: Bus
  readonly codecs: Codecs
  readonly books: Books
  readonly feed: Feed
  readonly onUnreadable: (record: Received, error: unknown) => void
}

export interface Following {
  /** Why what is shown may be old, or undefined. */
  problem(): string | undefined
}

export async function startFollowing(options: FollowOptions): Promise<Started<Following>> {
  const { bus, books } = options
  let caughtUp = false
  let healthy = true
  const onHealth: TailOptions['onHealth'] = (now) => {
    healthy = now
  }
  const held = await bus.tail({
    topics: [topics.verdicts, topics.baselines],
    from: 'earliest',
    onBatch: books.onBatch,
    onCaughtUp() {
      caughtUp = true
    },
    onHealth,
  })
  const live = await bus.tail({
    topics: [topics.commands, topics.findings, topics.verdicts],
    from: 'latest',
    onBatch(records) {
      for (const record of records) publish(options, record)
    },
  })
  return {
    value: {
      problem() {
        if (!caughtUp) return 'verdicts and baselines were not read yet'
        return healthy ? undefined : 'the bus cannot be read'
      },
    },
    async stop() {
      await live.stop()
      await held.stop()
    },
  }
}

function publish({ codecs, feed, onUnreadable }: FollowOptions, record: Received): void {
  try {
    const event = liveEventOf(codecs, record)
    if (event) feed.publish(event)
  } catch (error) {
    onUnreadable(record, error)
  }
}

function liveEventOf(codecs: Codecs, { topic, partition, offset, value }: Received): LiveEvent | undefined {
  if (value === null) return undefined
  const id = `${topic.split('.')[1]}-${partition}-${offset}`
  switch (topic) {
    case topics.commands:
      return commandEvent(id, codecs.command.decode(value))
    case topics.findings:
      return findingEvent(id, codecs.finding.decode(value))
    case topics.verdicts:
      return verdictEvent(id, codecs.verdict.decode(value), undefined)
    default:
      return undefined
  }
}
