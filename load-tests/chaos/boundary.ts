/**
 * Commands of simulated agents published to the bus beside those of the gate: batches that lie on both sides of midnight,
 * and so span a partition of the table, and an identity with a history that runs away. Some events come twice, as from
 * a shipper that was killed; some commands have an earlier phase.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Bus, type BusRecord, type CommandEvent, identityKey, topics } from '@portcullis/kernel'
import { type Codecs, linkHash } from '@portcullis/platform/codec'
import {
  act,
  berlin,
  dayUs,
  elsewhere,
  historyOf,
  hourUs,
  minuteUs,
  privileged,
  type Random,
  randomFrom,
  read,
  type SimulatedRecorder,
  simulatedRecorder,
  steadyAgent,
} from '../simulator/index.ts'

export interface Published {
  /** Commands on either side of midnight. */
  readonly commands: number
  readonly batches: number
  /** Records published again, because the bus did not answer or on purpose. */
  readonly again: number
}

export interface Publisher {
  /** Resolves once the last batch is taken by the bus. */
  stop(): Promise<Published>
}

const batchCommands = 20
const pauseMs = 150

export function publishAcrossMidnight(bus: Bus, codecs: Codecs, issuer: string, seed: number): Publisher {
  const random = randomFrom(seed)
  const recorder = recorderOf('midnight', codecs, issuer)
  const midnightUs = Math.floor((Date.now() * 1000) / dayUs) * dayUs
  let stopped = false
  let commands = 0
  let batches = 0
  let again = 0
  const running = work()
  return {
    async stop() {
      stopped = true
      await running
      return { commands, batches, again }
    },
  }

  async function work(): Promise<void> {
    while (!stopped) {
      const records = Array.from({ length: batchCommands }, (_, i) =>
        eventsOf(recorder, random, midnightUs + (i % 2 === 0 ? -1 : 1) * random.whole(1, 60_000_000)),
      ).flat()
      commands += batchCommands
      batches++
      if (random.next() < 0.2) records.push(...records.slice(-5))
      again += await publishSurely(
        bus,
        records.map((event) => recordOf(codecs, event)),
      )
      await sleep(pauseMs)
    }
  }
}

/** Its name in the trail. */
export const runawaySubject = 'midnight/runaway'

/** A day of history, and then a flood with a privileged act from elsewhere: enough for a throttle and a block. */
export async function publishRunaway(
  bus: Bus,
  codecs: Codecs,
  issuer: string,
  seed: number,
): Promise<number> {
  const recorder = recorderOf('runaway', codecs, issuer)
  const endUs = Date.now() * 1000 - 10 * minuteUs
  const agent = steadyAgent(seed, runawaySubject, 0.5)
  const events = [...historyOf([agent], recorder, endUs - 30 * hourUs, endUs)]
  const random = randomFrom(seed)
  const flood = read('select * from customers', 'customers', 5_000, 900_000)
  const grant = privileged('grant admin to intruder', 'GRANT', 'role', 'admin')
  for (let i = 0; i < 600; i++) {
    const one = act(
      random,
      endUs + i * 200_000,
      9_999,
      i === 300 ? grant : flood,
      i < 450 ? berlin : elsewhere,
    )
    events.push(recorder.record(agent, one))
  }
  // In pieces with pauses, so that the analyzer is killed between them.
  for (let from = 0; from < events.length; from += 50) {
    await publishSurely(
      bus,
      events.slice(from, from + 50).map((event) => recordOf(codecs, event)),
    )
    await sleep(400)
  }
  return events.length
}

function eventsOf(recorder: SimulatedRecorder, random: Random, at: number): CommandEvent[] {
  const number = random.whole(1, 20)
  const agent = { subject: `midnight/${number}`, groups: ['agents'] }
  const one = act(random, at, number, read('select 1', 'none', 1, 60), berlin)
  if (random.next() > 0.1) return [recorder.record(agent, one)]
  // The phase before has a command id of its own recorder's making; the finished one takes it over.
  const started = recorder.record(agent, one, { phase: 'started', outcome: null, durationUs: 0 })
  return [started, recorder.record(agent, one, { commandId: started.commandId })]
}

function recorderOf(name: string, codecs: Codecs, issuer: string): SimulatedRecorder {
  return simulatedRecorder({
    name,
    issuer,
    target: 'shop',
    database: 'shop',
    hash: (prevHash, event) => linkHash(prevHash, codecs.command, event),
  })
}

function recordOf(codecs: Codecs, event: CommandEvent): BusRecord {
  return { topic: topics.commands, key: identityKey(event.identity), value: codecs.command.encode(event) }
}

/** As a shipper does: the same records until the bus has taken them. Returns how many were sent again. */
async function publishSurely(bus: Bus, records: readonly BusRecord[]): Promise<number> {
  for (let again = 0; ; again += records.length) {
    try {
      await bus.publish(records)
      return again
    } catch {
      await sleep(200)
    }
  }
}
