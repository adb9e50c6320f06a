/**
 * Wakes readers in this and other processes when something was committed: a file that the writer touches and the reader
 * watches. It is a hint: a ring may be missed (a watch can fail, an overlay file system may not tell), so readers also
 * look every `pollMs` by themselves.
 */
import { closeSync, constants, type FSWatcher, openSync, watch, writeSync } from 'node:fs'

export interface Bell {
  ring(): void
  /** Calls `wake` after each ring, and every `pollMs`. Returns how to stop. */
  listen(wake: () => void): () => void
  close(): void
}

export function openBell(path: string, pollMs: number): Bell {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
  const listeners = new Set<() => void>()
  let watcher: FSWatcher | undefined
  let timer: NodeJS.Timeout | undefined
  const wakeAll = () => {
    for (const wake of listeners) wake()
  }
  const startWatching = () => {
    try {
      watcher = watch(path, { persistent: false }, wakeAll)
      watcher.on('error', stopWatching)
    } catch {
      // Out of watches (fs.inotify.max_user_watches): the poll alone still delivers, only later.
      stopWatching()
    }
  }
  const stopWatching = () => {
    watcher?.close()
    watcher = undefined
  }
  return {
    ring() {
      // The file holds one byte for ever: rewriting it is enough for a watch to fire.
      writeSync(fd, ring, 0, 1, 0)
    },
    listen(wake) {
      listeners.add(wake)
      if (listeners.size === 1) {
        startWatching()
        timer = setInterval(wakeAll, pollMs)
      }
      return () => {
        if (!listeners.delete(wake) || listeners.size > 0) return
        stopWatching()
        clearInterval(timer)
      }
    },
    close() {
      listeners.clear()
      stopWatching()
      clearInterval(timer)
      closeSync(fd)
    },
  }
}

const ring = Buffer.from('!')
