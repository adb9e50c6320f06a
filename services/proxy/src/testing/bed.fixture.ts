/**
 * A bed as a process of its own, for load-tests/postgres: with the recorder or without one (what recording costs), and
 * with a watch on its event loop (what one session's work keeps others from). Says its port over IPC and ends with its
 * parent; told `watch`, it watches until it is told `tell`, and answers `{ longestTurnMs }`.
 *
 *   bed.fixture.ts real|none '{ "host", "port", "user", "password", "database" }' [RULES AS YAML]
 */
import type { Postgres } from '@portcullis/testkit/postgres'
import { threadCpuUs } from '@portcullis/testkit/thread-cpu'
import { startBed } from './bed.ts'

const [recorder, target = '{}', policy] = process.argv.slice(2)
if (recorder !== 'real' && recorder !== 'none') throw new Error('which recorder: real or none')
const bed = await startBed({
  ...{ postgres: JSON.parse(target) as Postgres, recorder },
  ...(policy !== undefined && { policy }),
})
let longestTurnMs: (() => number) | undefined
process.on('message', (order) => {
  if (order === 'watch') longestTurnMs = watchTurns()
  else if (longestTurnMs) process.send?.({ longestTurnMs: longestTurnMs() })
})
process.once('disconnect', () => void bed.stop().then(() => process.exit()))
process.send?.({ port: bed.value.port })

/**
 * The longest turn of the loop in CPU time of its own thread, which a full machine does not make longer. It keeps the
 * loop turning, so no figure of the time that passes may be taken meanwhile. Ends when it is asked.
 */
function watchTurns(): () => number {
  let longestUs = 0
  let last = threadCpuUs()
  let ended = false
  const turn = () => {
    const now = threadCpuUs()
    longestUs = Math.max(longestUs, now - last)
    last = now
    if (!ended) setImmediate(turn)
  }
  setImmediate(turn)
  return () => {
    ended = true
    return longestUs / 1000
  }
}
