/**
 * The oracle is PostgreSQL: the same bytes, in the same pieces, to the server itself and to the gate before it. Replies
 * (types, tags, SQLSTATEs, statuses) and the table must be equal, and each INSERT that completed must stand in the record
 * as one. Where the gate ends the session for what no server would take, it must have let no more through than the server.
 */
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Postgres } from '@portcullis/testkit/postgres'
import pg from 'pg'
import { randomFrom } from '../../../../../load-tests/simulator/random.ts'
import { cstring, frontend, message, startupMessage } from '../../protocols/postgres/wire.ts'
import { type Bed, startBed } from '../bed.ts'
import { RawClient, send } from '../raw-client.ts'
import { clientFrames } from './generate.ts'
import { MessageReader } from './messages.ts'
import { split } from './mutate.ts'

export interface DifferentialRun {
  readonly scripts: number
  readonly frames: number
  /** Sessions that the gate ended for what no server would take. */
  readonly endedByGate: number
  readonly inserts: number
  readonly found: readonly { readonly seed: number; readonly faults: readonly string[] }[]
}

const lanes = 4
const endsMsMax = 10_000
const tail = Buffer.concat([
  send.copyFail('end'),
  send.sync(),
  send.query('rollback'),
  send.query("select 'END'"),
])

interface Outcome {
  readonly replies: string
  readonly rows: string
  readonly hung: boolean
}

export async function fuzzDifferential(options: {
  readonly postgres: Postgres
  readonly seed: number
  readonly frames: number
}): Promise<DifferentialRun> {
  const { postgres, seed, frames } = options
  const bed = await startBed({ postgres })
  const tables = new pg.Pool({ connectionString: postgres.url, max: lanes })
  const totals = { scripts: 0, frames: 0, endedByGate: 0, inserts: 0 }
  const found: { seed: number; faults: string[] }[] = []
  const playOne = async (lane: number, at: number) => {
    const random = randomFrom(at)
    const bytes = inLane(
      clientFrames(random, random.whole(4, 20), 'payloads', random.pick([0, 0, 0.05])),
      lane,
    )
    const pieces = split(random, Buffer.concat(bytes), 4)
    await tables.query(
      `drop table if exists t${lane}; create table t${lane} (n text); insert into t${lane} values ('1')`,
    )
    const straight = await playOn(postgres.port, postgres.user, postgres.password ?? '', pieces, lane, tables)
    await tables.query(`delete from t${lane}; insert into t${lane} values ('1')`)
    const through = await playOn(bed.value.port, 'shop', `lane${lane}`, pieces, lane, tables)
    totals.scripts++
    totals.frames += bytes.length
    const ended = through.replies.endsWith('E:08P01') && straight.replies !== through.replies
    if (ended) totals.endedByGate++
    const faults = await judge(bed.value, lane, straight, through, ended)
    totals.inserts += faults.inserts
    if (faults.said.length > 0) found.push({ seed: at, faults: faults.said })
  }
  try {
    for (let at = seed; totals.frames < frames; at += lanes) {
      await Promise.all(Array.from({ length: lanes }, (_, lane) => playOne(lane, at + lane)))
      bed.value.commands.length = 0
      bed.value.opened.length = 0
    }
  } finally {
    await tables.end()
    await bed.stop()
  }
  return { ...totals, found }
}

async function judge(
  bed: Bed,
  lane: number,
  straight: Outcome,
  through: Outcome,
  ended: boolean,
): Promise<{ readonly said: string[]; readonly inserts: number }> {
  const said: string[] = []
  const sessions = () => bed.opened.filter(({ identity }) => identity?.subject === `lane${lane}`)
  const lives = () =>
    [...bed.sessions.live].some(({ id }) => sessions().some(({ sessionId }) => sessionId === id))
  for (let turn = 0; turn < 500 && lives(); turn++) await sleep(10)
  if (lives()) said.push('the session outlives its client')
  if (through.hung) said.push(`no answer any more after ${through.replies}`)
  else if (!ended && (straight.replies !== through.replies || straight.rows !== through.rows))
    said.push(`direct ${straight.rows} ${straight.replies}\n  gate   ${through.rows} ${through.replies}`)
  const commands = bed.commands.filter((one) =>
    sessions().some(({ sessionId }) => sessionId === one.sessionId),
  )
  const recorded = commands.filter(
    ({ result }) => result?.tag === 'INSERT 0 1' && result.outcome === 'ok',
  ).length
  const inserts = through.replies.split(' 0 1').length - 1
  if (recorded < inserts || (recorded > inserts && !ended))
    said.push(`${inserts} inserts, ${recorded} recorded`)
  if (commands.some(({ result }) => !result)) said.push('a command without an outcome')
  return { said, inserts }
}

async function playOn(
  port: number,
  user: string,
  password: string,
  pieces: readonly Buffer[],
  lane: number,
  tables: pg.Pool,
): Promise<Outcome> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  const client = new RawClient(socket)
  client.write(startupMessage(196_608, { user, database: 'postgres' }))
  client.write(message(frontend.password, cstring(password)))
  await client.ready(1)
  client.take()
  for (const piece of pieces) {
    client.write(piece)
    await sleep(2)
  }
  if (!client.closed) client.write(tail)
  const answered = () => client.replies.some(({ type, payload }) => type === 'D' && payload.includes('END'))
  const hung = await client
    .until(() => client.closed || answered(), endsMsMax)
    .then(
      () => false,
      () => !client.closed,
    )
  const { rows } = await tables.query(
    `select count(*)::text as n, min(n) as min, max(n) as max from t${lane}`,
  )
  client.end()
  return { replies: replies(client), rows: JSON.stringify(rows[0]), hung }
}

/** Without notices, which the gate may add to. */
function replies(client: RawClient): string {
  return client
    .summary()
    .filter((one) => one !== 'N')
    .join(' ')
}

/** The same frames on a table of its own. */
function inLane(frames: readonly Buffer[], lane: number): Buffer[] {
  return frames.map((frame) => {
    const text = frame.toString('latin1', 5).replaceAll(/\bt(?=[ \0;]|$)/g, `t${lane}`)
    const framed = message(frame[0] as number, Buffer.from(text, 'latin1'))
    return new MessageReader().read(framed)[0]?.bytes ?? frame
  })
}
