/**
 * Ships what all recorders of a host wrote, those of dead processes too. A file watch is the doorbell, so that an event
 * is on its way milliseconds after it was written and an idle host costs nothing; a slow look round is the safety net.
 * Refuses to run twice on one directory.
 */
import { type FSWatcher, mkdirSync, watch } from 'node:fs'
import { join } from 'node:path'
import type { Bus, Clock, Started } from '@portcullis/kernel'
import type { Codecs } from '../codec.ts'
import { lockForAgent } from './agent-lock.ts'
import { scanBacklog } from './backlog.ts'
import { listRecorders, sweep } from './directory.ts'
import { type RecorderShipping, type ShipLog, shipRecorder } from './ship-recorder.ts'

export interface ShipperOptions {
  /** The same as RecorderOptions.dir. */
  readonly dir: string
  readonly bus: Bus
  readonly codecs: Pick<Codecs, 'session' | 'command'>
  readonly clock: Clock
  readonly log: ShipLog
}

export interface ShipperStats {
  /** Events that the bus acknowledged since the start. */
  readonly shipped: number
  readonly failedPublishes: number
  readonly recorders: number
  /** Age of the oldest event that is not acknowledged, seconds; 0 where there is none. */
  readonly lagSeconds: number
}

export interface Shipper {
  stats(): ShipperStats
  /** Bytes in the directory that the bus has not acknowledged. */
  backlogBytes(): Promise<number>
  /** A proxy process may have died: look now. */
  ring(): void
  /** Resolves once everything that stood in the directory at the time of the call is acknowledged. */
  drained(): Promise<void>
}

const lookRoundEveryMs = 1000
const failedRestMs = 5000

/** Throws RecorderError('locked') where another agent runs. */
export function createShipper(options: ShipperOptions): Started<Shipper> {
  const { dir, clock, log } = options
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const unlock = lockForAgent(dir)
  const shippings = new Map<string, RecorderShipping>()
  const resting = new Map<string, number>()
  let shipped = 0
  let failedPublishes = 0
  let stopped = false
  sweep(dir, clock.nowUs() / 1000)
  const watcher = listen(dir, lookRound)
  const timer = setInterval(lookRound, lookRoundEveryMs)
  lookRound()

  return {
    value: {
      stats: () => ({ shipped, failedPublishes, recorders: shippings.size, lagSeconds: lagSeconds() }),
      backlogBytes: () => scanBacklog(dir),
      ring,
      async drained() {
        while (!stopped && (await scanBacklog(dir)) > 0)
          await new Promise((resolve) => setTimeout(resolve, 10))
      },
    },
    async stop() {
      stopped = true
      clearInterval(timer)
      watcher?.close()
      await Promise.all(Array.from(shippings.values(), (ship) => ship.stop()))
      unlock()
    },
  }

  function lookRound(): void {
    if (stopped) return
    for (const recorder of listRecorders(dir)) {
      const restedAtMs = resting.get(recorder) ?? Number.NEGATIVE_INFINITY
      if (!shippings.has(recorder) && clock.monotonicMs() - restedAtMs > failedRestMs) start(recorder)
    }
  }

  function start(recorder: string): void {
    const path = join(dir, recorder)
    try {
      const ship = shipRecorder({
        ...options,
        dir: path,
        listen: (onChange) =>
          listen(path, (file) => {
            if (file?.startsWith('seg-')) onChange()
          }),
        onShipped(events) {
          shipped += events
        },
        onFailedPublish() {
          failedPublishes++
        },
      })
      shippings.set(recorder, ship)
      ship.done.then(
        () => leave(recorder),
        (error) => failed(recorder, error),
      )
    } catch (error) {
      failed(recorder, error)
    }
  }

  /** Where the system has no watches left, the look round once a second must do. */
  function listen(path: string, onChange: (file: string | null) => void): FSWatcher | undefined {
    try {
      const bell = watch(path, (_event, file) => onChange(file))
      // A watch ends with its directory, which we remove ourselves.
      bell.on('error', () => bell.close())
      return bell
    } catch (error) {
      log.warn({ err: error, path }, 'a folder cannot be watched: events are shipped up to a second late')
      return undefined
    }
  }

  function leave(recorder: string): void {
    shippings.delete(recorder)
    resting.delete(recorder)
  }

  function failed(recorder: string, error: unknown): void {
    leave(recorder)
    resting.set(recorder, clock.monotonicMs())
    log.error(
      { err: error, recorder, retryMs: failedRestMs },
      'a recorder cannot be shipped now; its files stay',
    )
  }

  function ring(): void {
    for (const ship of shippings.values()) ship.ring()
  }

  function lagSeconds(): number {
    let oldestUs = Number.POSITIVE_INFINITY
    for (const ship of shippings.values()) oldestUs = Math.min(oldestUs, ship.oldestUs() ?? oldestUs)
    return oldestUs === Number.POSITIVE_INFINITY ? 0 : Math.max(0, (clock.nowUs() - oldestUs) / 1e6)
  }
}
