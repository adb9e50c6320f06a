/**
 * Benign agents: what each does, when, from where, and how much comes back. Each is a generator of acts in event time,
 * ascending, from a seed; nothing is sent anywhere here.
 */
import { createHash } from 'node:crypto'
import type { Effect, Origin, TargetObject } from '@portcullis/kernel'
import { type Random, randomFrom } from './random.ts'

export interface Statement {
  readonly text: string
  /** Stands for the grammar's fingerprint: equal for equal texts. */
  readonly fingerprint: string
  readonly verb: string
  readonly effects: readonly Effect[]
  readonly objects: readonly TargetObject[]
  readonly privileged: boolean
  /** Median of the rows and bytes that come back. */
  readonly rows: number
  readonly bytes: number
}

/** One command of an agent, before it is an event. */
export interface Act {
  /** Microseconds since 1970 UTC. */
  readonly at: number
  /** Number of the session within the agent's life. */
  readonly session: number
  readonly statement: Statement
  readonly origin: Origin
  readonly rows: number
  readonly bytes: number
  readonly durationUs: number
}

export interface Agent {
  readonly subject: string
  readonly groups: readonly string[]
  readonly what: string
  /** Its acts within [fromUs, toUs), ascending in time. */
  acts(fromUs: number, toUs: number): Generator<Act>
}

/**
 * The fleet: six agents of different rhythm. The same seed gives the same life. `pace` below 1 slows the two that fill
 * most of a history, for who wants a week of it quickly.
 */
export function fleet(seed: number, pace = 1): readonly Agent[] {
  return [
    cronJob(seed + 1),
    ciRunner(seed + 2),
    chattyModel(seed + 3),
    batchLoader(seed + 4, pace),
    poller(seed + 5, pace),
    reporter(seed + 6),
  ]
}

/** Every hour on the hour, about thirty statements within half a minute. */
export function cronJob(seed: number): Agent {
  const statements: Many<Statement> = [
    read('select id, state from jobs where state = $1', 'jobs', 40, 6_000),
    write('update jobs set state = $1 where id = $2', 'UPDATE', 'jobs'),
    read('select count(*) from invoices where due < now()', 'invoices', 1, 40),
  ]
  return agent('cron/nightly-billing', 'a scheduled job', seed, function* (random, fromUs, toUs) {
    for (let hour = ceilTo(fromUs, hourUs); hour < toUs; hour += hourUs) {
      const session = hour / hourUs
      let at = hour + random.next() * 20 * secondUs
      for (let left = random.whole(26, 34); left > 0; left--, at += random.exponential(secondUs))
        yield act(random, at, session, random.pick(statements), berlin)
    }
  })
}

/** Pipelines on working days and now and then at night; runners of one cloud, in two regions of it. */
export function ciRunner(seed: number): Agent {
  const statements: Many<Statement> = [
    read('select version from schema_migrations order by version', 'schema_migrations', 120, 2_000),
    write('insert into builds (id, sha) values ($1, $2)', 'INSERT', 'builds'),
    read('select * from fixtures where suite = $1', 'fixtures', 300, 40_000),
    define('create table if not exists tmp_build (id int)', 'CREATE TABLE', 'tmp_build'),
    privileged('grant select on tmp_build to app_test', 'GRANT', 'role', 'app_test'),
  ]
  return agent('ci/pipeline', 'a build pipeline', seed, function* (random, fromUs, toUs) {
    let at = fromUs
    for (let session = 0; ; session++) {
      at += random.exponential((isWorkingHour(at) ? 20 : 180) * minuteUs)
      if (at >= toUs) return
      const origin = random.next() < 0.7 ? cloudEast : cloudWest
      for (let left = Math.round(random.logNormal(60, 0.4)); left > 0 && at < toUs; left--) {
        at += random.exponential(0.4 * secondUs)
        const statement = random.next() < 0.02 ? statements[4] : random.pick(statements)
        yield act(random, at, session, statement ?? statements[0], origin)
      }
    }
  })
}

/** A language-model agent: tasks in working hours, bursts of exploration with pauses to think, sizes all over. */
export function chattyModel(seed: number): Agent {
  const statements: Many<Statement> = [
    read('select table_name from information_schema.tables', 'tables', 60, 3_000),
    read('select * from customers where name ilike $1 limit 50', 'customers', 30, 12_000),
    read('select * from orders where customer_id = $1', 'orders', 20, 8_000),
    read('select sum(total) from orders where at > $1', 'orders', 1, 40),
    read('explain select * from orders', 'orders', 8, 700),
  ]
  return agent('agent/support-copilot', 'a language-model agent', seed, function* (random, fromUs, toUs) {
    let at = fromUs
    for (let session = 0; ; session++) {
      at += random.exponential((isWorkingHour(at) ? 12 : 600) * minuteUs)
      if (at >= toUs) return
      for (let left = random.whole(5, 40); left > 0 && at < toUs; left--) {
        at += random.logNormal(3, 0.9) * secondUs
        yield act(random, at, session, random.pick(statements), berlin, 1.5)
      }
    }
  })
}

/** A trickle all day; from 02:00 to 03:00 UTC a load of about 45 a minute, three times that on Sundays. */
export function batchLoader(seed: number, pace = 1): Agent {
  const load = write('insert into facts select * from staging where batch = $1', 'INSERT', 'facts')
  const check = read('select max(batch) from facts', 'facts', 1, 40)
  return agent('batch/warehouse-loader', 'a nightly loader', seed, function* (random, fromUs, toUs) {
    for (let at = fromUs; ; ) {
      const date = new Date(at / 1000)
      const loading = date.getUTCHours() === 2
      const perMinute = loading ? (date.getUTCDay() === 0 ? 135 : 45) : 1
      at += random.exponential(minuteUs / (perMinute * pace))
      if (at >= toUs) return
      yield act(random, at, Math.floor(at / hourUs), loading ? load : check, cloudEast)
    }
  })
}

/** A dashboard: the same two statements every minute, for ever. */
export function poller(seed: number, pace = 1): Agent {
  const everyUs = Math.round(minuteUs / pace)
  const statements = [
    read('select state, count(*) from jobs group by state', 'jobs', 5, 200),
    read('select * from alerts where open', 'alerts', 12, 2_500),
  ]
  return agent('dashboard/ops-wall', 'a dashboard', seed, function* (random, fromUs, toUs) {
    for (let minute = ceilTo(fromUs, everyUs); minute < toUs; minute += everyUs) {
      let at = minute
      for (const statement of statements) {
        at += random.next() * secondUs
        yield act(random, at, Math.floor(minute / dayUs), statement, berlin)
      }
    }
  })
}

/** Reports at eight and at five on working days: few statements, large results. */
export function reporter(seed: number): Agent {
  const report = read(
    'select * from orders join customers using (customer_id) where at > $1',
    'orders',
    8_000,
    2_000_000,
  )
  const small = read('select * from report_definitions', 'report_definitions', 15, 4_000)
  return agent('job/weekly-reports', 'a reporting job', seed, function* (random, fromUs, toUs) {
    for (let hour = ceilTo(fromUs, hourUs); hour < toUs; hour += hourUs) {
      const date = new Date(hour / 1000)
      if (![8, 17].includes(date.getUTCHours()) || [0, 6].includes(date.getUTCDay())) continue
      let at = hour
      for (let left = random.whole(15, 25); left > 0; left--) {
        at += random.logNormal(8, 0.5) * secondUs
        yield act(random, at, hour / hourUs, random.next() < 0.4 ? report : small, berlin, 0.7)
      }
    }
  })
}

/** As plain as can be: one statement at a steady pace, day and night. For tests that need some history of a name. */
export function steadyAgent(seed: number, subject: string, perMinute: number, from: Origin = berlin): Agent {
  const statement = read('select 1', 'none', 1, 60)
  return agent(subject, 'a steady agent', seed, function* (random, fromUs, toUs) {
    for (let at = fromUs; ; ) {
      at += random.exponential(minuteUs / perMinute)
      if (at >= toUs) return
      yield act(random, at, Math.floor(at / dayUs), statement, from)
    }
  })
}

export const secondUs = 1_000_000
export const minuteUs = 60 * secondUs
export const hourUs = 60 * minuteUs
export const dayUs = 24 * hourUs

/** Documentation addresses (RFC 5737) and AS numbers (RFC 5398) only. */
export const berlin: Origin = origin('192.0.2.10', 'DE', 64496, 'Example Office')
export const cloudEast: Origin = origin('198.51.100.20', 'US', 64497, 'Example Cloud')
export const cloudWest: Origin = origin('198.51.100.90', 'US', 64498, 'Example Cloud West')
export const elsewhere: Origin = origin('203.0.113.66', 'BR', 64510, 'Example Hosting')

export function read(text: string, table: string, rows: number, bytes: number): Statement {
  const objects = [object('table', table, 'read')]
  return {
    text,
    fingerprint: fingerprint(text),
    verb: 'SELECT',
    effects: ['read'],
    objects,
    privileged: false,
    rows,
    bytes,
  }
}

export function privileged(text: string, verb: string, kind: string, name: string): Statement {
  const objects = [object(kind, name, 'grant')]
  return {
    text,
    fingerprint: fingerprint(text),
    verb,
    effects: ['grant'],
    objects,
    privileged: true,
    rows: 0,
    bytes: 30,
  }
}

/** Sizes vary around the statement's medians with this sigma. */
export function act(
  random: Random,
  at: number,
  session: number,
  statement: Statement,
  from: Origin,
  sigma = 0.3,
): Act {
  const scale = random.logNormal(1, sigma)
  return {
    at: Math.round(at),
    session,
    statement,
    origin: from,
    rows: Math.round(statement.rows * scale),
    bytes: Math.round(statement.bytes * scale),
    durationUs: Math.round(random.logNormal(4_000, 0.5)),
  }
}

type Many<T> = readonly [T, ...T[]]
type Life = (random: Random, fromUs: number, toUs: number) => Generator<Act>

function agent(subject: string, what: string, seed: number, life: Life): Agent {
  return { subject, groups: ['agents'], what, acts: (fromUs, toUs) => life(randomFrom(seed), fromUs, toUs) }
}

function write(text: string, verb: string, table: string): Statement {
  const objects = [object('table', table, 'write')]
  return {
    text,
    fingerprint: fingerprint(text),
    verb,
    effects: ['write'],
    objects,
    privileged: false,
    rows: 0,
    bytes: 20,
  }
}

function define(text: string, verb: string, table: string): Statement {
  const objects = [object('table', table, 'define')]
  return {
    text,
    fingerprint: fingerprint(text),
    verb,
    effects: ['define'],
    objects,
    privileged: false,
    rows: 0,
    bytes: 20,
  }
}

function fingerprint(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}

function object(kind: string, name: string, effect: Effect): TargetObject {
  return { kind, namespace: '', name, effect, columns: [] }
}

function origin(address: string, country: string, asn: number, asOrg: string): Origin {
  return { address, country, region: '', asn, asOrg }
}

function ceilTo(at: number, step: number): number {
  return Math.ceil(at / step) * step
}

function isWorkingHour(at: number): boolean {
  const date = new Date(at / 1000)
  return ![0, 6].includes(date.getUTCDay()) && date.getUTCHours() >= 8 && date.getUTCHours() < 18
}
