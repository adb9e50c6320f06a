/**
 * A candidate policy over what was recorded in a span. Goes through time in pieces of a bounded number of commands, so that each
 * query is short, memory is bounded by the differences within a piece, and whoever waits hears how far it is.
 */
import { createPolicy, type ParsedRule, readsOf } from '@portcullis/policy'
import type { Trail } from '../trail.ts'
import { decidedAnew, decidedThen, isUnasked } from './compare.ts'
import { createRowJudge, type JudgeOptions } from './judge.ts'
import { type Asked, countQuery, groupsQuery, messagesQuery, type Row, spanUs } from './query.ts'
import { createTally, type Report, type Tally } from './report.ts'

export interface BacktestOptions extends Pick<JudgeOptions, 'labelsNow'> {
  readonly trail: Pick<Trail, 'rows'>
  readonly rules: readonly ParsedRule[]
  readonly asked: Asked
}

export type BacktestStep =
  | { readonly progress: { readonly commands: number; readonly of: number } }
  | { readonly report: Report }

/** Throws AuditError, ApiError. */
export async function* runBacktest(options: BacktestOptions): AsyncGenerator<BacktestStep> {
  const { trail, rules, asked, labelsNow } = options
  const reads = readsOf(rules)
  const policy = createPolicy(rules)
  const judge = createRowJudge({ policy, reads, labelsNow })
  const tally = createTally()
  const { sql, params } = countQuery(asked)
  const pieces = piecesOf(asked, await trail.rows(sql, params))
  const total = pieces.reduce((sum, { n }) => sum + n, 0)
  let done = 0
  for (const { n, ...piece } of pieces) {
    const part = { ...asked, ...piece }
    const groups = groupsQuery(reads, part)
    await inTurns(await rowsOf(groups), (row) => weigh(tally, judge, [row]))
    await inTurns(byMessage(await rowsOf(messagesQuery(reads, part))), (rows) => weigh(tally, judge, rows))
    done += n
    yield { progress: { commands: done, of: total } }
  }
  yield { report: tally.report(policy.version) }

  async function rowsOf({ sql, params }: ReturnType<typeof groupsQuery>): Promise<readonly Row[]> {
    return (await trail.rows(sql, params)) as unknown[] as Row[]
  }
}

/** Others wait for this process too. */
async function inTurns<T>(all: readonly T[], act: (one: T) => void): Promise<void> {
  for (const [at, one] of all.entries()) {
    act(one)
    if (at % turnRows === turnRows - 1) await new Promise((resolve) => setImmediate(resolve))
  }
}

const turnRows = 200

function weigh(tally: Tally, judge: ReturnType<typeof createRowJudge>, rows: readonly Row[]): void {
  const judged = rows.map(judge)
  const anew = decidedAnew(judged.map((one) => one.judged))
  for (const [at, row] of rows.entries()) {
    const then = decidedThen(row)
    const now = anew[at]
    if ('leftOut' in then) tally.leftOut(row, then.leftOut)
    else if (isUnasked(row)) tally.compared(row, then, then, undefined)
    else if (now) tally.compared(row, then, now, judged[at])
  }
}

/** Rows of one message come one after another. */
function byMessage(rows: readonly Row[]): readonly (readonly Row[])[] {
  const messages: Row[][] = []
  for (const row of rows) {
    const last = messages.at(-1)
    if (last?.[0]?.message === row.message) last?.push(row)
    else messages.push([row])
  }
  return messages
}

const pieceCommands = 100_000

interface Piece {
  readonly fromUs: number
  readonly toUs: number
  readonly n: number
}

/** Spans with few commands together, one with many in parts. Commands of a message have one time, so that no piece has half of it. */
export function piecesOf(
  { fromUs, toUs }: Pick<Asked, 'fromUs' | 'toUs'>,
  spans: readonly Readonly<Record<string, unknown>>[],
): Piece[] {
  const pieces: Piece[] = []
  for (const { span, n } of spans) {
    const [startUs, count] = [Number(span) * spanUs, Number(n)]
    const [from, to] = [Math.max(fromUs, startUs), Math.min(toUs, startUs + spanUs)]
    const last = pieces.at(-1)
    if (last && last.n + count <= pieceCommands)
      pieces.splice(-1, 1, { ...last, toUs: to, n: last.n + count })
    else pieces.push(...parts(from, to, count))
  }
  return pieces
}

function parts(fromUs: number, toUs: number, n: number): Piece[] {
  const many = Math.ceil(n / (2 * pieceCommands))
  const at = (part: number) => fromUs + Math.floor(((toUs - fromUs) * part) / many)
  return Array.from({ length: many }, (_, part) => ({
    fromUs: at(part),
    toUs: at(part + 1),
    n: Math.floor((n * (part + 1)) / many) - Math.floor((n * part) / many),
  }))
}
