/**
 * Group commit: one fdatasync in flight at a time; whoever comes meanwhile shares the next. Refuses to trust a file
 * after a failed sync: Linux marks the pages clean then, so that a later sync succeeds though the bytes are gone.
 */
import { closeSync, fdatasync, fdatasyncSync } from 'node:fs'
import { promisify } from 'node:util'

export interface Durability {
  /** Resolves once everything written to `fd` up to now is on the disk; `frame` is the last one written. */
  request(fd: number, frame: number): Promise<void>
  /** Last frame known to be on the disk. */
  syncedFrame(): number
  /** A new segment's head, at once. */
  syncHead(fd: number): void
  /** Nothing more is written to `fd`: the next group syncs it with the rest and closes it. */
  retire(fd: number): void
  /** Its contents no longer matter. */
  discard(fd: number): void
  stop(): Promise<void>
}

interface Group {
  readonly done: PromiseWithResolvers<void>
  readonly fds: Set<number>
  frame: number
}

/** What the operating system does; a test counts it or makes it fail. */
export type SyncFile = (fd: number) => Promise<void>
export const syncFile: SyncFile = promisify(fdatasync)

/** `onFailure` is called before those who wait are told, and makes the error that they get. */
export function createDurability(sync: SyncFile, onFailure: (error: unknown) => Error): Durability {
  let next: Group | undefined
  let running: Promise<void> | undefined
  let syncedFrame = 0
  const retired = new Set<number>()
  const closable = new Set<number>()

  return {
    request(fd, frame) {
      next ??= { done: Promise.withResolvers(), fds: new Set(retired), frame }
      next.fds.add(fd)
      next.frame = frame
      const { promise } = next.done
      running ??= run()
      return promise
    },
    syncedFrame: () => syncedFrame,
    syncHead: fdatasyncSync,
    retire(fd) {
      retired.add(fd)
      next?.fds.add(fd)
    },
    discard(fd) {
      retired.delete(fd)
      next?.fds.delete(fd)
      closable.add(fd)
      if (!running) closeAll()
    },
    async stop() {
      while (running) await running
      for (const fd of retired) {
        await sync(fd)
        closable.add(fd)
      }
      retired.clear()
      closeAll()
    },
  }

  async function run(): Promise<void> {
    // The rest of this turn of the event loop still joins the first group.
    await new Promise(setImmediate)
    while (next) {
      const group = next
      next = undefined
      try {
        for (const fd of group.fds) await sync(fd)
        syncedFrame = group.frame
        for (const fd of group.fds) if (retired.delete(fd)) closable.add(fd)
        group.done.resolve()
      } catch (error) {
        for (const fd of group.fds) if (retired.delete(fd)) closable.add(fd)
        group.done.reject(onFailure(error))
      }
      closeAll()
    }
    running = undefined
  }

  function closeAll(): void {
    for (const fd of closable) closeSync(fd)
    closable.clear()
  }
}
