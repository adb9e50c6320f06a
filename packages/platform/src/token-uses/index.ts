/**
 * Where each token was used from, for as long as it lives: one SQLite file that all proxy processes of a replica share, as
 * the ledger of budgets, and the API with them where it has the same folder. It keeps hashes of token ids and no tokens, refuses to forget a token that may still be used, and
 * to remember more than a few places of one. After a loss of power the last seconds may be missing.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Clock, Started } from '@portcullis/kernel'
import { whenFree } from '../when-free.ts'

/** One place, and the first address seen of it: the same, but where a place is a network. */
export interface Use {
  readonly place: string
  readonly address: string
}

export interface TokenUses {
  /**
   * Notes a use and answers with all places that are known of this token, the first use first. `key` names the token;
   * `untilUs`: after this nobody can use it (microseconds since 1970 UTC). Throws SQLite's error where it cannot.
   */
  note(key: string, use: Use, untilUs: number): readonly Use[]
}

export interface TokenUsesOptions {
  readonly dir: string
  readonly clock: Clock
  /** Called where what is over could not be forgotten. */
  readonly onFailure?: (error: unknown) => void
}

/** Of one token; who comes from still more is known well enough. */
const placesMax = 8
const rememberedMax = 10_000
const purgeEveryMs = 5000
/** At a time, so that nobody waits long for the lock. */
const purgeRowsMax = 5000

/** Of a proxy, and of the API where it lies on the same machine: both then know what either saw. */
export function tokenUsesDir(config: {
  readonly dataDir: string
  readonly proxy: { readonly name: string }
}): string {
  return join(config.dataDir, 'proxy', config.proxy.name, 'tokens')
}

export function openTokenUses({ dir, clock, onFailure }: TokenUsesOptions): Started<TokenUses> {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const db = new DatabaseSync(join(dir, 'token-uses.sqlite'), { timeout: 0 })
  whenFree(() => db.exec('pragma journal_mode = wal'))
  db.exec('pragma synchronous = normal')
  whenFree(() =>
    db.exec(`create table if not exists uses (
      token text not null primary key, until_ms integer not null, places text not null
    ) without rowid;
    create index if not exists uses_by_end on uses (until_ms)`),
  )
  const insert = db.prepare('insert into uses values (?, ?, ?) on conflict do nothing')
  const select = db.prepare('select places from uses where token = ?')
  const update = db.prepare('update uses set places = ? where token = ?')
  const begin = db.prepare('begin immediate')
  const commit = db.prepare('commit')
  const rollback = db.prepare('rollback')
  const purge = db.prepare(
    'delete from uses where token in (select token from uses where until_ms < ? order by until_ms limit ?)',
  )
  /** Tokens whose only place this process has seen: most come from there again. */
  let only = new Map<string, string>()

  function append(key: string, use: Use): readonly Use[] {
    whenFree(() => begin.run())
    try {
      const known = read(key)
      const isKnown = known.length >= placesMax || known.some(({ place }) => place === use.place)
      const uses = isKnown ? known : [...known, use]
      if (!isKnown) update.run(JSON.stringify(uses), key)
      whenFree(() => commit.run())
      return uses
    } catch (error) {
      if (db.isTransaction) rollback.run()
      throw error
    }
  }

  function read(key: string): readonly Use[] {
    const row = select.get(key)
    return row ? (JSON.parse(String(row.places)) as Use[]) : []
  }

  const purging = setInterval(() => {
    try {
      purge.run(clock.nowUs() / 1000, purgeRowsMax)
    } catch (error) {
      onFailure?.(error)
    }
  }, purgeEveryMs).unref()

  return {
    value: {
      note(key, use, untilUs) {
        if (only.get(key) === use.place) return [use]
        const { changes } = whenFree(() => insert.run(key, Math.ceil(untilUs / 1000), JSON.stringify([use])))
        const uses = changes === 1 ? [use] : append(key, use)
        if (uses[0]?.place === use.place && uses.length === 1) {
          if (only.size >= rememberedMax) only = new Map()
          only.set(key, use.place)
        } else only.delete(key)
        return uses
      },
    },
    async stop() {
      clearInterval(purging)
      db.close()
    },
  }
}
