/**
 * Which of the server's messages have their place: written from the protocol's manual, not from the gate's code. It is
 * told what was forwarded, message by message, and then judges what the server says by type, and ReadyForQuery by its
 * content. Source: PostgreSQL manual, 54.2 "Message Flow".
 */
import { backend, frontend } from '../../protocols/postgres/wire.ts'

type Owed = 'query' | 'function' | 'parse' | 'bind' | 'execute' | 'describe' | 'close' | 'sync'

const owes: Readonly<Record<number, Owed>> = {
  [frontend.query]: 'query',
  [frontend.functionCall]: 'function',
  [frontend.parse]: 'parse',
  [frontend.bind]: 'bind',
  [frontend.execute]: 'execute',
  [frontend.describe]: 'describe',
  [frontend.close]: 'close',
  [frontend.sync]: 'sync',
}
const anytime: ReadonlySet<number> = new Set([
  backend.error,
  backend.notice,
  backend.notification,
  backend.parameterStatus,
])
const belongs: Readonly<Record<number, readonly Owed[]>> = {
  [backend.parseComplete]: ['parse'],
  [backend.bindComplete]: ['bind'],
  [backend.closeComplete]: ['close'],
  [backend.parameterDescription]: ['describe'],
  [backend.noData]: ['describe'],
  [backend.rowDescription]: ['describe', 'query'],
  [backend.dataRow]: ['query', 'execute', 'function'],
  [backend.commandComplete]: ['query', 'execute'],
  [backend.emptyQuery]: ['query', 'execute'],
  [backend.portalSuspended]: ['execute'],
  [backend.functionResult]: ['function'],
  [backend.copyInResponse]: ['query', 'execute'],
  [backend.copyOutResponse]: ['query', 'execute'],
  [backend.copyData]: ['query', 'execute', 'function'],
  [backend.copyDone]: ['query', 'execute'],
  [backend.readyForQuery]: ['sync', 'query', 'function'],
}
/** Answers after which the next message is answered. */
const finishes: ReadonlySet<number> = new Set([
  backend.parseComplete,
  backend.bindComplete,
  backend.closeComplete,
  backend.noData,
  backend.commandComplete,
  backend.emptyQuery,
  backend.portalSuspended,
])

export class Placement {
  #owed: Owed[] = []
  /** An error in the extended protocol with no Sync behind it: what is forwarded until one comes is owed nothing. */
  #skipping = false
  /** A message had no place. */
  lost = false

  forwarded(type: number): void {
    const owed = owes[type]
    if (!owed || (this.#skipping && owed !== 'sync')) return
    this.#skipping = false
    this.#owed.push(owed)
  }

  /** Whether a message of this type would have its place now. */
  wouldTake(type: number): boolean {
    const head = this.#owed[0]
    return !this.lost && (anytime.has(type) || (head !== undefined && belongs[type]?.includes(head) === true))
  }

  /** Whether this message has its place; once one has none, nothing after it has. `status`: ReadyForQuery's. */
  takes(type: number, status: string): boolean {
    if (this.lost) return false
    const head = this.#owed[0]
    if (anytime.has(type)) {
      if (type === backend.error) this.#error(head)
      return true
    }
    const isReady = type === backend.readyForQuery
    if (!head || !belongs[type]?.includes(head) || (isReady && !['I', 'T', 'E'].includes(status))) {
      this.lost = true
      return false
    }
    const isDescribed = type === backend.rowDescription && head === 'describe'
    const goesOn = (head === 'query' || head === 'function') && !isReady
    if (isReady || isDescribed || (finishes.has(type) && !goesOn)) this.#owed.shift()
    return true
  }

  #error(head: Owed | undefined): void {
    if (!head || head === 'query' || head === 'function' || head === 'sync') return
    const sync = this.#owed.indexOf('sync')
    this.#skipping = sync < 0
    this.#owed = sync < 0 ? [] : this.#owed.slice(sync)
  }
}
