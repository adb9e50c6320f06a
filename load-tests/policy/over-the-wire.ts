/**
 * What rules add to a statement from the client's socket and back: two gates before one PostgreSQL, one with rules and one without,
 * asked in turns, so that what else the machine does is the same for both. Time of the round trip, and CPU of the gate.
 */
import { startPostgres } from '@portcullis/testkit/postgres'
import { cpuSec } from '@portcullis/testkit/system'
import { type BedProcess, startBedProcess } from '../postgres/bed-process.ts'
import { message } from '../postgres/wire.ts'
import { type Raw, signIn } from '../soak/raw.ts'

/** Microseconds; CPU is the mean. */
export interface OverTheWire {
  readonly without: Figures
  readonly withRules: Figures
}

interface Figures {
  readonly p50: number
  readonly p99: number
  readonly cpu: number
}

interface Side {
  readonly bed: BedProcess
  readonly client: Raw
  readonly tookUs: number[]
  cpuSec: number
}

const turns = 60
const perTurn = 250

export async function measureOverTheWire(policy: string): Promise<OverTheWire> {
  const postgres = await startPostgres()
  await postgres.value.query('create table orders (id int primary key, name text)')
  const beds = await Promise.all(
    [undefined, policy].map((rules) => startBedProcess('real', postgres.value, rules)),
  )
  try {
    const sides: Side[] = []
    for (const { value: bed } of beds) {
      const { port, user, password } = bed
      sides.push({ bed, client: await signIn({ port, user, password }), tookUs: [], cpuSec: 0 })
    }
    for (let turn = -4; turn < turns; turn++)
      for (const side of turn % 2 === 0 ? sides : [...sides].reverse()) await oneTurn(side, turn)
    for (const { client } of sides) client.socket.destroy()
    const [without, withRules] = sides.map(figuresOf)
    if (!without || !withRules) throw new Error('both are measured')
    return { without, withRules }
  } finally {
    for (const bed of beds) await bed.stop()
    await postgres.stop()
  }
}

/** Those before the first only warm up. */
async function oneTurn(side: Side, turn: number): Promise<void> {
  const { bed, client, tookUs } = side
  const pid = bed.parts().worker?.[0] ?? 0
  const before = cpuSec(pid)
  for (let at = 0; at < perTurn; at++) {
    const from = process.hrtime.bigint()
    const answered = new Promise<void>((resolve) => {
      client.socket.on('data', function look(chunk: Buffer) {
        if (chunk.length < 6 || chunk[chunk.length - 6] !== 0x5a) return
        client.socket.off('data', look)
        resolve()
      })
    })
    client.socket.write(message('Q', `select name from orders where id = ${at}`))
    await answered
    if (turn >= 0) tookUs.push(Number(process.hrtime.bigint() - from) / 1000)
  }
  if (turn >= 0) side.cpuSec += cpuSec(pid) - before
}

function figuresOf({ tookUs, cpuSec: used }: Side): Figures {
  const sorted = tookUs.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN
  return { p50: at(0.5), p99: at(0.99), cpu: (used * 1e6) / sorted.length }
}
