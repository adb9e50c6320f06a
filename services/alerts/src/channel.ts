/**
 * Drives one sink: one delivery at a time, at the sink's own pace, with back-off and jitter while it fails and exactly
 * as long as it asks where it says Retry-After. A delivery that stays impossible for a day is given up, counted and
 * logged; nothing is dropped in silence. It does not wait for its queue when it stops: that is kept on disk.
 */
import type { Alert, Clock, Delivery, Sink, Started } from '@portcullis/kernel'
import {
  nextWaiting,
  type Offered,
  type Outbox,
  offer,
  onDelivered,
  onGivenUp,
  onRetry,
  tickOutbox,
  type Waiting,
} from './outbox.ts'

export interface ChannelOptions {
  readonly sink: Sink
  readonly outbox: Outbox
  readonly clock: Clock
  /** Makes the outbox durable. */
  readonly save: () => Promise<void>
  readonly perHourMax: number
  /** Shortest time between two deliveries, milliseconds. */
  readonly intervalMs: number
  readonly onEvent: (event: ChannelEvent) => void
  /** 0 <= x < 1, for the jitter. */
  readonly random: () => number
  /** First back-off; doubled at each failure in a row up to five minutes. Default 1 000. */
  readonly backoffMs?: number
}

export type ChannelEvent =
  | { readonly kind: 'delivered'; readonly alert: Alert }
  | { readonly kind: 'suppressed'; readonly alert: Alert }
  | { readonly kind: 'retried'; readonly alert: Alert; readonly why: string; readonly waitMs: number }
  | { readonly kind: 'failed'; readonly alert: Alert; readonly why: string }

export interface Channel {
  offer(alert: Alert): Offered
  tick(): void
}

export function startChannel(options: ChannelOptions): Started<Channel> {
  const { sink, outbox, clock, perHourMax, intervalMs, onEvent, random, backoffMs = 1_000 } = options
  const stopping = new AbortController()
  let failures = 0
  let notBeforeMs = 0
  let wake = () => {}

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      const waitMs = notBeforeMs - clock.monotonicMs()
      const waiting = waitMs > 0 ? undefined : nextWaiting(outbox)
      if (!waiting) await sleep(waitMs > 0 ? waitMs : idleMs)
      else await deliver(waiting)
    }
  }

  function sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        wake = () => {}
        stopping.signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      // While the sink asked for quiet, news must not wake it; a stop must.
      wake = notBeforeMs > clock.monotonicMs() ? () => {} : done
      stopping.signal.addEventListener('abort', done)
    })
  }

  async function deliver(waiting: Waiting): Promise<void> {
    const { alert } = waiting
    if (clock.nowUs() - alert.at > giveUpUs) {
      onGivenUp(outbox, waiting)
      onEvent({ kind: 'failed', alert, why: 'given up after a day of trying' })
      return options.save()
    }
    outbox.inFlight = alert.dedupKey
    const delivery = await attempt(alert)
    outbox.inFlight = undefined
    notBeforeMs = clock.monotonicMs() + intervalMs
    if (delivery.kind === 'retry') return retry(waiting, delivery)
    failures = 0
    if (delivery.kind === 'delivered') {
      onDelivered(outbox, waiting, delivery.reference ?? '')
      onEvent({ kind: 'delivered', alert })
    } else {
      onGivenUp(outbox, waiting)
      onEvent({ kind: 'failed', alert, why: delivery.why })
    }
    await options.save()
  }

  async function attempt(alert: Alert): Promise<Delivery> {
    try {
      const reference = outbox.told.get(alert.dedupKey)
      return await sink.deliver(alert, reference === '' ? undefined : reference)
    } catch (error) {
      return { kind: 'retry', why: error instanceof Error ? error.message : String(error) }
    }
  }

  function retry(waiting: Waiting, { why, retryAfterMs }: Extract<Delivery, { kind: 'retry' }>): void {
    const backoff = Math.min(backoffMs * 2 ** Math.min(failures, 20), backoffMsMax) * (0.5 + random() / 2)
    failures += 1
    const waitMs = Math.max(retryAfterMs ?? 0, backoff, intervalMs)
    notBeforeMs = clock.monotonicMs() + waitMs
    onRetry(outbox, waiting)
    onEvent({ kind: 'retried', alert: waiting.alert, why, waitMs })
  }

  const running = run()
  return {
    value: {
      offer(alert) {
        const offered = offer(outbox, alert, perHourMax, clock.nowUs())
        if (offered === 'suppressed') onEvent({ kind: 'suppressed', alert })
        wake()
        return offered
      },
      tick() {
        tickOutbox(outbox, clock.nowUs())
        wake()
      },
    },
    async stop() {
      stopping.abort()
      await running
    },
  }
}

const idleMs = 60_000
const backoffMsMax = 300_000
const giveUpUs = 86_400_000_000
