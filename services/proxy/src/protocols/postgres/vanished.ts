/**
 * Notices that a client is gone while nothing is read from it. Its close comes behind what it has pipelined, which waits
 * for the server; where that fills the window, not even its kernel can deliver it. So something is written to it now and
 * then that says nothing new: the value of a setting once more, as any server may at any time. A kernel whose process is
 * gone answers with a reset, and the next write fails. It tells nobody: the socket closes.
 */
import type { Socket } from 'node:net'
import { parameterStatus } from './wire.ts'

export interface Probe {
  /** Reading has been stopped, for how long nobody knows. */
  paused(): void
  stop(): void
}

/** Two of them, and the cancel, within a second. */
const everyMs = 300

/** `mayWrite`: the client has got whole messages only. Without a setting that cannot change there is nothing to say. */
export function createProbe(
  client: Socket,
  settings: ReadonlyMap<string, string>,
  mayWrite: () => boolean,
): Probe {
  const name = ['integer_datetimes', 'server_version'].find((one) => settings.has(one))
  if (name === undefined) return { paused: () => undefined, stop: () => undefined }
  const nothingNew = parameterStatus(name, settings.get(name) ?? '')
  let timer: NodeJS.Timeout | undefined
  let pauses = 0

  function wait(): void {
    const seen = pauses
    timer = setTimeout(() => {
      timer = undefined
      if (!client.isPaused()) return
      // What it has not taken yet will fail by itself.
      if (seen === pauses && client.writableLength === 0 && mayWrite()) client.write(nothingNew)
      wait()
    }, everyMs)
  }

  return {
    paused() {
      pauses++
      if (!timer) wait()
    },
    stop: () => clearTimeout(timer),
  }
}
