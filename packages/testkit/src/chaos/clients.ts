/**
 * Clients that work on while the gate is killed under them: ordinary drivers, texts that can each be found again, a new
 * connection after every break. They send no text twice themselves, and say what they were answered.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import postgresJs from 'postgres'

export type Told = 'ok' | 'error' | 'lost'

export interface Load {
  /** What each text's client was answered; lost: its connection ended first. */
  readonly told: ReadonlyMap<string, Told>
  connects(): number
  /** Clients that waited too long for an answer or the end of their connection. */
  readonly hung: readonly string[]
  /** Resolves when every client has its last answer and is gone. */
  stop(): Promise<void>
}

export interface LoadOptions {
  readonly clients: number
  /** Connection URL of a client. */
  url(client: number): Promise<string>
  /** Uniform in [0, 1). */
  random(): number
  /** Mean pause between two statements of a client. */
  readonly pauseMs: number
}

/** A table for what the clients write: a second witness beside the server's log. */
export const ledgerSql = 'create table ledger (marker text)'
const markerPattern = /m\d+n\d+z/g

/** The markers within a text, in order. */
export function markersOf(text: string): string[] {
  return text.match(markerPattern) ?? []
}

export function startLoad(options: LoadOptions): Load {
  const told = new Map<string, Told>()
  const hung: string[] = []
  let connects = 0
  let stopped = false

  const running = Array.from({ length: options.clients }, (_, index) => work(index))
  return {
    told,
    hung,
    connects: () => connects,
    async stop() {
      stopped = true
      await Promise.all(running)
    },
  }

  async function work(index: number): Promise<void> {
    let number = 0
    const next = () => `m${index}n${++number}z`
    const url = await options.url(index)
    // Every fourth client pipelines.
    const life = index % 4 === 3 ? pipelining : oneByOne
    while (!stopped) {
      await life(index, url, next)
      if (!stopped) await sleep(50)
    }
  }

  async function oneByOne(index: number, connectionString: string, next: () => string): Promise<void> {
    const client = new pg.Client({
      connectionString,
      application_name: `chaos-${index}`,
      connectionTimeoutMillis: answerMsMax,
    })
    let broken = false
    client.on('error', () => {
      broken = true
    })
    client.on('end', () => {
      broken = true
    })
    try {
      await client.connect()
      connects++
      while (!stopped && !broken) {
        const marker = next()
        await note(marker, async () => {
          for (const query of statement(marker, options.random())) await client.query(query)
        })
        await rest()
      }
    } catch {
      // A gate that is being killed takes no connection: the next one will be tried.
      broken = true
    }
    await within('the end of a connection', () => client.end()).catch(() => undefined)
  }

  async function pipelining(index: number, url: string, next: () => string): Promise<void> {
    const sql = postgresJs(url, {
      max: 1,
      connection: { application_name: `chaos-${index}` },
      fetch_types: false,
      connect_timeout: answerMsMax / 1000,
      max_lifetime: null,
      onnotice: () => undefined,
    })
    let broken = false
    try {
      await within('the first answer', () => sql.unsafe('select 1'))
      connects++
      while (!stopped && !broken) {
        const markers = Array.from({ length: 5 }, next)
        const answers = markers.map((marker) =>
          note(marker, () => sql.unsafe(`select '${marker}' as marker, $1::int as n`, [1])),
        )
        broken = (await Promise.all(answers)).includes('lost')
        await rest()
      }
    } catch {
      broken = true
    }
    await sql.end({ timeout: 1 })
  }

  /** What became of it, for its client. */
  async function note(marker: string, act: () => Promise<unknown>): Promise<Told> {
    let answer: Told = 'ok'
    try {
      await within(marker, act)
    } catch (error) {
      answer = isFromServer(error) ? 'error' : 'lost'
    }
    told.set(marker, answer)
    return answer
  }

  async function within(what: string, act: () => Promise<unknown>): Promise<void> {
    const late = Promise.withResolvers<void>()
    const timer = setTimeout(() => {
      hung.push(what)
      late.reject(new Error(`no answer to ${what}`))
    }, answerMsMax)
    try {
      await Promise.race([act(), late.promise])
    } finally {
      clearTimeout(timer)
    }
  }

  async function rest(): Promise<void> {
    await sleep(-Math.log(1 - options.random()) * options.pauseMs)
  }
}

const answerMsMax = 20_000

function statement(marker: string, which: number): (string | { text: string; values: unknown[] })[] {
  if (which < 0.5) return [`select '${marker}' as marker`]
  if (which < 0.65) return [{ text: `select '${marker}' as marker, $1::int as n`, values: [7] }]
  if (which < 0.8) return [`insert into ledger values ('${marker}')`]
  if (which < 0.86) return [`select '${marker}' as marker, 1/0`]
  if (which < 0.9) return ['begin', `insert into ledger values ('${marker}')`, 'commit']
  // Long enough for a phase `started` of its own.
  if (which < 0.94) return [`select '${marker}' as marker, pg_sleep(0.7)`]
  return [`select '${marker}' as marker, repeat('x', 200) from generate_series(1, 3000)`]
}

/** An answer to this statement: an ErrorResponse, but none that says that the connection ends. */
function isFromServer(error: unknown): boolean {
  if (!(error instanceof Error && 'code' in error && 'severity' in error)) return false
  const code = String(error.code)
  return error.severity !== 'FATAL' && /^[0-9A-Z]{5}$/.test(code) && !code.startsWith('57P')
}
