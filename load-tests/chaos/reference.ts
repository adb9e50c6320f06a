/**
 * What one analyzer that nobody killed makes of the same commands: its findings and verdicts, to be compared with those
 * of the one that was killed. The topic is copied, record by record, to a bus of its own.
 */
import { type Bus, type Received, type Topic, topics } from '@portcullis/kernel'
import type { Codecs } from '@portcullis/platform/codec'
import { connectBus } from '@portcullis/platform/connect'
import { until } from '@portcullis/testkit/chaos/settle'
import { startSystem, type SystemOptions } from '@portcullis/testkit/system'
import { topicSpecs } from '../topic-specs.ts'

export interface Judgements {
  /** Id and whole content of each. */
  readonly findings: ReadonlySet<string>
  readonly verdicts: ReadonlySet<string>
}

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined, debug: () => undefined }

export async function judgeAgain(
  bus: Bus,
  codecs: Codecs,
  postgres: SystemOptions['postgres'],
): Promise<Judgements> {
  const commands = await readAll(bus, [topics.commands])
  const partitions = (await bus.endOffsets(topics.commands)).size
  const system = await startSystem({ postgres, parts: [] })
  try {
    const copy = await connectBus(`lmdb:${system.value.dir}/bus`, { logger: quiet })
    try {
      await copy.value.ensureTopics(topicSpecs(partitions))
      for (let from = 0; from < commands.length; from += 2000)
        await copy.value.publish(
          commands.slice(from, from + 2000).map(({ topic, key, value }) => ({ topic, key, value })),
        )
      await system.value.startPart('analyzer')
      await until('the second analyzer to read all', 120_000, async () => {
        const metrics = await (await fetch(`${system.value.healthUrl('analyzer')}/metrics`)).text()
        const counts = metrics.matchAll(/^portcullis_analyzer_events_total\{.*\} (\d+)$/gm)
        return Array.from(counts, ([, count]) => Number(count)).reduce((a, b) => a + b, 0) >= commands.length
      })
      // Counted when folded; published right after, before the bus commits.
      await system.value.stopPart('analyzer')
      return await judgements(copy.value, codecs)
    } finally {
      await copy.stop()
    }
  } finally {
    await system.stop()
  }
}

export async function judgements(bus: Bus, codecs: Codecs): Promise<Judgements> {
  const findings = new Set<string>()
  const verdicts = new Set<string>()
  for (const { topic, value } of await readAll(bus, [topics.findings, topics.verdicts])) {
    if (value === null) continue
    if (topic === topics.findings) findings.add(JSON.stringify(codecs.finding.decode(value)))
    else verdicts.add(JSON.stringify(codecs.verdict.decode(value)))
  }
  return { findings, verdicts }
}

/** In the order of each partition. */
async function readAll(bus: Bus, from: readonly Topic[]): Promise<Received[]> {
  const all: Received[] = []
  const caughtUp = Promise.withResolvers<void>()
  const tail = await bus.tail({
    topics: from,
    from: 'earliest',
    onBatch: (records) => void all.push(...records),
    onCaughtUp: () => caughtUp.resolve(),
  })
  await caughtUp.promise
  await tail.stop()
  return all
}
