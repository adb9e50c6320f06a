/**
 * One lmdb environment in a folder of its own. Durable when a write resolves, and never visible before it is durable: a
 * reader must not act on what a power cut could take back (lmdb-js would, by default, show commits before their fsync).
 */
import { chmodSync, closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { open, type RootDatabase } from 'lmdb'

export type Store = RootDatabase<Buffer, (string | number)[]>

export function openStore(dir: string): Store {
  makePrivateDir(dir)
  const store: Store = open({
    path: dir,
    // A folder's name may hold dots, which lmdb-js would otherwise take for a file's.
    noSubdir: false,
    encoding: 'binary',
    maxDbs: 8,
    overlappingSync: false,
    // Writes are grouped by publisher.ts. lmdb-js's own grouping makes a promise that nobody can reach, which rejects
    // when a commit fails (a full disk) and would end the process.
    eventTurnBatching: false,
    // Address space, not memory or disk: never having to remap keeps several processes simple.
    mapSize: 256 * 1024 ** 3,
  })
  // Slots of readers that were killed would keep old pages from being used again.
  store.readerCheck()
  return store
}

/**
 * Waits for a write. lmdb-js reports a failed commit by an error that says nothing, with a second promise that rejects
 * with the reason; left alone, that one would end the process as an unhandled rejection.
 */
export async function written<T>(write: Promise<T>): Promise<T> {
  try {
    return await write
  } catch (error) {
    if (!(error instanceof Error && 'commitError' in error)) throw error
    let cause: unknown
    try {
      await error.commitError
    } catch (reason) {
      cause = reason
    }
    throw new Error(`lmdb could not commit: ${cause instanceof Error ? cause.message : 'no reason given'}`, {
      cause,
    })
  }
}

/** A folder that only this user may enter, whose creation survives a power cut. */
export function makePrivateDir(dir: string): void {
  if (mkdirSync(dir, { recursive: true, mode: 0o700 }) !== undefined) {
    const parent = openSync(dirname(dir), 'r')
    try {
      fsyncSync(parent)
    } finally {
      closeSync(parent)
    }
  }
  chmodSync(dir, 0o700)
}
