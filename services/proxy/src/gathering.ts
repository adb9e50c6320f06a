/**
 * The metrics of all processes of a proxy as one. What a process had counted stays counted when it is gone: a total that
 * falls would look like a restart, and the rate after it like a burst.
 */
import type { Metrics } from '@portcullis/platform/service'
import { AggregatorRegistry, type MetricObjectWithValues, type MetricValue, type Registry } from 'prom-client'
import type { Child } from './children.ts'
import type { ToSupervisor } from './ipc.ts'

type Said = MetricObjectWithValues<MetricValue<string>>[]

export interface Gathering {
  /** A message of kind metrics from the process with this key. */
  take(key: string, message: ToSupervisor & { kind: 'metrics' }): void
  /** It has ended. */
  gone(key: string): void
  /** Asks each and adds up, with what those that are gone had counted and with `own`. */
  registry(processes: ReadonlyMap<string, Child>): Promise<Registry>
}

export function createGathering(own: Metrics): Gathering {
  const last = new Map<string, Said>()
  const waiting = new Map<number, () => void>()
  let departed: Promise<Said> = Promise.resolve([])
  let nextId = 0

  return {
    take(key, { id, metrics }) {
      last.set(key, metrics as Said)
      waiting.get(id)?.()
    },
    gone(key) {
      const said = last.get(key)?.filter(isTotal)
      last.delete(key)
      if (said) departed = departed.then((before) => sum([before, said]).getMetricsAsJSON() as Promise<Said>)
    },
    async registry(processes) {
      await Promise.all([...processes.values()].map(answered))
      const all = [...last.values(), await departed, await own.registry.getMetricsAsJSON()]
      return sum(all as Said[])
    },
  }

  function answered(process: Child): Promise<void> {
    const id = nextId++
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(late)
        waiting.delete(id)
        resolve()
      }
      // What it said last stands in for it.
      const late = setTimeout(done, answerMsMax)
      waiting.set(id, done)
      process.send({ kind: 'metrics', id })
    })
  }
}

const answerMsMax = 1000

function sum(all: readonly Said[]): Registry {
  return AggregatorRegistry.aggregate(all as unknown as object[])
}

function isTotal({ type }: { readonly type: unknown }): boolean {
  return type === 'counter' || type === 'histogram'
}
