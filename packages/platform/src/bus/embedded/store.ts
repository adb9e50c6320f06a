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
    // Address space, not memory or disk: never having to remap keeps several processes simple.
    mapSize: 256 * 1024 ** 3,
  })
  // Slots of readers that were killed would keep old pages from being used again.
  store.readerCheck()
  return store
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
