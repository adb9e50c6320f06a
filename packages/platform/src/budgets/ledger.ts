/**
 * What all proxy processes of a host share: one SQLite file in WAL mode, changed in transactions of some 40 us without a
 * sync of their own. Its locks are the kernel's, which lets go of them when a process dies at whatever instant (robust
 * mutexes in shared memory, as lmdb has them, were seen to stay locked for ever after kill -9). After a loss of power the
 * file is whole but may lack the last seconds. Where the lock is not to be had within half a second, it throws.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { isAlive, type ProcessLife } from '../recorder/life.ts'
import { whenFree } from '../when-free.ts'
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
  close(): void
}

type Holders = [life: ProcessLife, sessions: number][]
type Kind = 'window' | 'tokens' | 'sessions'

const tokensIdleMsMax = 3_600_000

export function openLedger(dir: string, self: ProcessLife): Ledger {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const db = new DatabaseSync(join(dir, 'budgets.sqlite'), { timeout: 0 })
  whenFree(() => db.exec('pragma journal_mode = wal'))
  db.exec('pragma synchronous = normal')
  whenFree(() =>
    db.exec(`create table if not exists entries (
      kind text not null, scope text not null, value text not null, primary key (kind, scope)
    ) without rowid`),
  )
  const begin = db.prepare('begin immediate')
  const commit = db.prepare('commit')
  const rollback = db.prepare('rollback')
  const select = db.prepare('select value from entries where kind = ? and scope = ?')
  const selectAll = db.prepare('select kind, scope, value from entries')
  const upsert = db.prepare(
    'insert into entries values (?, ?, ?) on conflict do update set value = excluded.value',
  )
  const remove = db.prepare('delete from entries where kind = ? and scope = ?')

  return {
    window: (scope, change) =>
      changeEntry('window', scope, () => ({ rows: [], bytes: [], overMs: 0 }), change),
    tokens: (key, initial, change) => changeEntry('tokens', key, initial, change),
    openSession(scope, max) {
      return transaction(() => {
        let holders = read<Holders>('sessions', scope) ?? []
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
      transaction(() => {
        const holders = read<Holders>('sessions', scope) ?? []
        const own = holders.find(([life]) => isSelf(life))
        if (own) own[1]--
        store(scope, holders)
      })
    },
    purge(nowMs) {
      transaction(() => {
        for (const row of selectAll.all()) {
          const scope = String(row.scope)
          const value: unknown = JSON.parse(String(row.value))
          if (row.kind === 'sessions')
            store(
              scope,
              (value as Holders).filter(([life]) => isAlive(life)),
            )
          else if (
            row.kind === 'window' ? (value as WindowEntry).overMs < nowMs : isIdle(value as Tokens, nowMs)
          )
            remove.run(String(row.kind), scope)
        }
      })
    },
    close: () => db.close(),
  }

  function changeEntry<E, T>(kind: Kind, scope: string, initial: () => E, change: (entry: E) => T): T {
    return transaction(() => {
      const entry = read<E>(kind, scope) ?? initial()
      const result = change(entry)
      upsert.run(kind, scope, JSON.stringify(entry))
      return result
    })
  }

  function transaction<T>(step: () => T): T {
    whenFree(() => begin.run())
    try {
      const result = step()
      whenFree(() => commit.run())
      return result
    } catch (error) {
      if (db.isTransaction) rollback.run()
      throw error
    }
  }

  function read<E>(kind: Kind, scope: string): E | undefined {
    const row = select.get(kind, scope)
    return row ? (JSON.parse(String(row.value)) as E) : undefined
  }

  function store(scope: string, holders: Holders): void {
    const open = holders.filter(([, sessions]) => sessions > 0)
    if (open.length > 0) upsert.run('sessions', scope, JSON.stringify(open))
    else remove.run('sessions', scope)
  }

  function isSelf(life: ProcessLife): boolean {
    return life.pid === self.pid && life.startTicks === self.startTicks && life.bootId === self.bootId
  }
}

function isIdle({ atMs }: Tokens, nowMs: number): boolean {
  return atMs + tokensIdleMsMax < nowMs
}

function count(holders: Holders): number {
  let sum = 0
  for (const [, sessions] of holders) sum += sessions
  return sum
}
