/** How fast a bus is here and now: figures to read, with no limit asserted, since machines differ. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type BusTools, until } from './bus-bed.ts'
import { publishTo, range } from './bus-records.ts'

export async function measure({ topic, open }: BusTools): Promise<string> {
  const name = await topic()
  const bus = await open()
  const value = Buffer.alloc(300, 'x')
  const sentAtMs = new Map<string, number>()
  const latenciesMs: number[] = []
  const acknowledgedMs: number[] = []
  let arrived = 0
  const tail = await (await open()).tail({
    topics: [name],
    from: 'latest',
    onBatch(records) {
      arrived += records.length
      for (const { key } of records) {
        const sent = sentAtMs.get(key)
        if (sent !== undefined) latenciesMs.push(performance.now() - sent)
      }
    },
  })
  await publishTo(bus, name, 0, 40)
  await until('the tail runs', () => arrived === 40)
  for (let at = 0; at < 200; at++) {
    const startMs = performance.now()
    sentAtMs.set(`one-${at}`, startMs)
    await bus.publish([{ topic: name, key: `one-${at}`, value }])
    acknowledgedMs.push(performance.now() - startMs)
    await sleep(3)
  }
  await until('all singles arrived', () => arrived === 240)
  const startMs = performance.now()
  const calls = range(0, 20).map(() =>
    bus.publish(range(0, 1_000).map((at) => ({ topic: name, key: `many-${at % 100}`, value }))),
  )
  await Promise.all(calls)
  const perSecond = 20_000_000 / (performance.now() - startMs)
  await until('all arrived', () => arrived === 20_240)
  const consumedPerSecond = 20_000_000 / (performance.now() - startMs)
  await tail.stop()
  const figures = (all: number[]) => {
    const sorted = all.sort((a, b) => a - b)
    const at = (share: number) => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(1)
    return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`
  }
  return (
    `single publish acknowledged ${figures(acknowledgedMs)}; publish to consume ${figures(latenciesMs)}; ` +
    `batches of 1,000: ${Math.round(perSecond)} records/s published, ${Math.round(consumedPerSecond)} through`
  )
}
