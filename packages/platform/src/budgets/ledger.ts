/**
 * What all proxy processes of a host share: one lmdb environment, changed in synchronous transactions of some 30 us. It
 * is not synced to the disk: it survives the death of every process, not a crash of the machine. Each boot therefore has
 * a file of its own, so that a file a crash left half written is never opened.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { open } from 'lmdb'
import { isAlive, type ProcessLife } from '../recorder/life.ts'
import type { Tokens } from './tokens.ts'
import type { Window } from './window.ts'

export interface WindowEntry {
  rows: Window
  bytes: Window
  /** Milliseconds since 1970 after which nothing in it counts. */
  overMs: number
}

export interface Ledger {
  /** `change` sees and may change the entry; what it leaves behind is stored. All of it in one transaction. */
  window<T>(scope: string, change: (entry: WindowEntry) => T): T
  tokens<T>(key: string, initial: () => Tokens, change: (tokens: Tokens) => T): T
  /** Adds one session of this process where fewer than `max` are open on the host. */
  openSession(scope: string, max: number): boolean
  closeSession(scope: string): void
  /** Forgets what no longer counts, and the sessions of dead processes. */
  purge(nowMs: number): void
  close(): Promise<void>
}

type Holders = [life: ProcessLife, sessions: number][]
type Kind = 'window' | 'tokens' | 'sessions'

const tokensIdleMsMax = 3_600_000

export function openLedger(dir: string, self: ProcessLife): Ledger {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const name = `budgets-${self.bootId || 'any'}.lmdb`
  removeOthers(dir, name)
  const db = open<unknown, [Kind, string]>({ path: join(dir, name), noSync: true, encoding: 'msgpack' })
  db.readerCheck()

  return {
    window(scope, change) {
      return db.transactionSync(() => {
        const entry = (db.get(['window', scope]) as WindowEntry | undefined) ?? {
          rows: [],
          bytes: [],
          overMs: 0,
        }
        const result = change(entry)
        db.putSync(['window', scope], entry)
        return result
      })
    },
    tokens(key, initial, change) {
      return db.transactionSync(() => {
        const entry = (db.get(['tokens', key]) as Tokens | undefined) ?? initial()
        const result = change(entry)
        db.putSync(['tokens', key], entry)
        return result
      })
    },
    openSession(scope, max) {
      return db.transactionSync(() => {
        let holders = holdersOf(scope)
        if (count(holders) >= max) holders = holders.filter(([life]) => isAlive(life))
        const isRoom = count(holders) < max
        if (isRoom) {
          const own = holders.find(([life]) => isSelf(life))
          if (own) own[1]++
          else holders.push([self, 1])
        }
        store(scope, holders)
        return isRoom
      })
    },
    closeSession(scope) {
      db.transactionSync(() => {
        const holders = holdersOf(scope)
        const own = holders.find(([life]) => isSelf(life))
        if (own) own[1]--
        store(scope, holders)
      })
    },
    purge(nowMs) {
      db.transactionSync(() => {
        // Collected first: a cursor must not have the ground changed under it.
        for (const { key, value } of Array.from(db.getRange())) {
          const [kind, scope] = key
          if (kind === 'sessions')
            store(
              scope,
              holdersOf(scope).filter(([life]) => isAlive(life)),
            )
          else if (kind === 'window' && (value as WindowEntry).overMs < nowMs) db.removeSync(key)
          else if (kind === 'tokens' && (value as Tokens).atMs + tokensIdleMsMax < nowMs) db.removeSync(key)
        }
      })
    },
    close: () => db.close(),
  }

  function holdersOf(scope: string): Holders {
    return (db.get(['sessions', scope]) as Holders | undefined) ?? []
  }

  function store(scope: string, holders: Holders): void {
    const open = holders.filter(([, sessions]) => sessions > 0)
    if (open.length > 0) db.putSync(['sessions', scope], open)
    else db.removeSync(['sessions', scope])
  }

  function isSelf(life: ProcessLife): boolean {
    return life.pid === self.pid && life.startTicks === self.startTicks && life.bootId === self.bootId
  }
}

function count(holders: Holders): number {
  let sum = 0
  for (const [, sessions] of holders) sum += sessions
  return sum
}

function removeOthers(dir: string, name: string): void {
  for (const other of readdirSync(dir)) {
    if (other.startsWith('budgets-') && !other.startsWith(name))
      rmSync(join(dir, other), { recursive: true, force: true })
  }
}
