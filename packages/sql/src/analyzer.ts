// Puts the parts together: bytes -> cache -> grammar -> judgement -> text without credentials. Refuses nothing and
// throws for nothing that a client can send: what it cannot read comes back as unknown.
import { isAscii, isUtf8 } from 'node:buffer'
import { randomInt } from 'node:crypto'
import { Binder, type BindValue, openBytes } from './bind.ts'
import { ByteCache } from './cache.ts'
import { createCatalogue } from './catalogue.ts'
import type { Catalogue, CatalogueData } from './catalogue-types.ts'
import { SqlError } from './errors.ts'
import { createFunctions, type Functions } from './functions.ts'
import { type Grammar, loadGrammar, type RawStatement, type Tree } from './grammar.ts'
import { view } from './cutter.ts'
import { empty, type Judgement, judge, unreadable } from './judge.ts'
import { isSpace } from './lexer.ts'
import { slimTree } from './lineage/slim.ts'
import { withoutCredentials, withoutLiterals } from './redact.ts'
import { createStored } from './stored.ts'
import { Stripper } from './strip.ts'
import type { AnalyzerOptions, AnalyzerStats, Reading, SqlAnalyzer, StatementAnalysis } from './types.ts'
import { ambiguous, fingerprintOf, unread } from './unread.ts'
import { WorkerRoad } from './worker-road.ts'

/** What all texts with one form without literals have in common. */
interface Shared {
  readonly analysis: StatementAnalysis
  /** Nothing was cut from the text it was made of. */
  readonly untouched: boolean
  /**
   * The text that came last, so that the same one again is the same statement to whoever tells them apart by identity: the
   * first `lastBytes` of `last`, a buffer that is written again and again.
   */
  last: Buffer
  lastBytes: number
  lastHash: number
  lastAnalyses: readonly StatementAnalysis[]
}

const none = Buffer.alloc(0)

const utf8: Reading = { standardConformingStrings: true, encodingAsciiSafe: true }

export async function createSqlAnalyzer(options: AnalyzerOptions): Promise<SqlAnalyzer> {
  const { keepsTrees = false, ...numbers } = options
  const complete = { syncBytesMax: 1024, parseBytesMax: 1 << 20, workerDeadlineMs: 2000, ...numbers }
  for (const [name, value] of Object.entries(complete))
    if (!(value >= 0)) throw new SqlError('option_invalid', `${name} must be 0 or more, not ${value}`)
  return new Analyzer(await loadGrammar(), createFunctions(), { ...complete, keepsTrees }, randomInt(2 ** 31))
}

/** A longer text is not kept as the last one; what a kept one may take, its analysis included. */
const lastBytesMax = 512
const lastBytes = 2048

/** A longer text is taken from the worker thread in one turn of the event loop, and used in the next. */
const turnBytesMax = 32_768

/** A text of more is unknown as a whole: each would be a command of its own to record, all at once. */
const statementsMax = 1000

const warmRounds = 100
const warmTexts = [
  'select a.id, b.name, count(*) from a join b on b.a_id = a.id where a.x = 1 group by 1, 2 order by 3 desc limit 5',
  "insert into t (a, b) values (1, 'x') on conflict (a) do update set b = excluded.b returning *",
  "update t set a = 'x' where id in (select id from s where b between 1 and 2)",
  'with q as (select * from t where c > now()) delete from t using q where t.id = q.id',
].map((sql) => Buffer.from(sql))

class Analyzer implements SqlAnalyzer {
  readonly #grammar: Grammar
  readonly #functions: Functions
  readonly #options: Required<AnalyzerOptions>
  readonly #exact: ByteCache<readonly StatementAnalysis[]>
  readonly #stripped: ByteCache<Shared>
  readonly #stripper = new Stripper()
  readonly #worker: WorkerRoad
  readonly #binder = new Binder()
  #hits = 0
  #strippedHits = 0
  #misses = 0
  #unparsable = 0

  constructor(grammar: Grammar, functions: Functions, options: Required<AnalyzerOptions>, seed: number) {
    this.#grammar = grammar
    this.#functions = functions
    this.#options = options
    // The two share the bounds: a text is in the first that comes again as it is, else in the second.
    this.#exact = new ByteCache(options.cacheEntries, options.cacheBytesMax / 2, seed)
    this.#stripped = new ByteCache(options.cacheEntries, options.cacheBytesMax / 2, seed)
    this.#worker = new WorkerRoad({
      parseBytesMax: options.parseBytesMax,
      deadlineMs: options.workerDeadlineMs,
    })
  }

  analyze(
    sql: Uint8Array,
    start: number,
    end: number,
    reading: Reading = utf8,
  ): readonly StatementAnalysis[] | Promise<readonly StatementAnalysis[]> {
    if (reading.unsure) return whereAlike(sql, start, end, () => this.analyze(sql, start, end))
    const found = this.#cached(sql, start, end, reading)
    if (found !== undefined) return found
    if (end - start <= this.#options.syncBytesMax) return this.#missed(sql, start, end, reading)
    this.#misses += 1
    const copy = sharedCopyOf(sql, start, end)
    return this.#analyzed(copy, reading)
  }

  analyzeNow(
    sql: Uint8Array,
    start: number,
    end: number,
    reading: Reading = utf8,
  ): readonly StatementAnalysis[] {
    if (reading.unsure) return whereAlike(sql, start, end, () => this.analyzeNow(sql, start, end))
    return this.#cached(sql, start, end, reading) ?? this.#missed(sql, start, end, reading)
  }

  catalogue(data: CatalogueData, previous?: Catalogue): Catalogue {
    const stored = createStored(this.#grammar, this.#functions, previous?.stored)
    return createCatalogue(data, stored, this.#functions)
  }

  bind(analysis: StatementAnalysis, values: readonly BindValue[] | undefined): StatementAnalysis {
    return this.#binder.bind(analysis, values)
  }

  bindExecute(analysis: StatementAnalysis, args: readonly Tree[] | undefined): StatementAnalysis {
    return this.#binder.execute(analysis, args ?? [])
  }

  stats(): AnalyzerStats {
    return {
      entries: this.#exact.entries + this.#stripped.entries,
      bytes: this.#exact.bytes + this.#stripped.bytes,
      hits: this.#hits,
      strippedHits: this.#strippedHits,
      misses: this.#misses,
      unparsable: this.#unparsable,
      givenUp: this.#worker.givenUp,
    }
  }

  async warm(): Promise<void> {
    const ready = this.#worker.warm()
    for (let round = 0; round < warmRounds; round += 1) {
      for (const sql of warmTexts) this.#work(sql, 0, sql.length, utf8)
      // The engine compiles beside us; others have their turn.
      await new Promise((resolve) => setImmediate(resolve))
    }
    await ready
  }

  close(): Promise<void> {
    return this.#worker.close()
  }

  #cached(
    sql: Uint8Array,
    start: number,
    end: number,
    reading: Reading,
  ): readonly StatementAnalysis[] | undefined {
    if (!readsAsUtf8(sql, start, end, reading)) return undefined
    const exact = this.#exact.get(sql, start, end)
    const hash = this.#exact.lastHash
    if (exact !== undefined) {
      this.#hits += 1
      return exact
    }
    if (this.#stripped.entries === 0 || !this.#stripper.strip(sql, start, end)) return undefined
    const shared = this.#stripped.get(this.#stripper.key, 0, this.#stripper.keyBytes)
    if (shared === undefined) return undefined
    this.#strippedHits += 1
    const bytes = end - start
    const isLast = hash === shared.lastHash && bytes === shared.lastBytes
    if (isLast && shared.last.compare(sql, start, end, 0, bytes) === 0) {
      // It is one of those that come again and again: from now on its bytes will do.
      this.#exact.set(sql, start, end, shared.lastAnalyses, analysisBytes(shared.analysis))
      return shared.lastAnalyses
    }
    // Words are the same in both, so only a literal can bring a credential along.
    const text =
      shared.untouched && !this.#stripper.suspicious
        ? view(sql).toString('utf8', start, end)
        : withoutCredentials(sql, start, end)
    const analyses = Object.freeze([Object.freeze({ ...shared.analysis, text, textBytes: bytes })])
    if (bytes <= lastBytesMax) {
      if (bytes > shared.last.length) shared.last = Buffer.allocUnsafeSlow(Math.min(2 * bytes, lastBytesMax))
      view(sql).copy(shared.last, 0, start, end)
      shared.lastBytes = bytes
      shared.lastHash = hash
      shared.lastAnalyses = analyses
    }
    return analyses
  }

  async #analyzed(copy: Uint8Array, reading: Reading): Promise<readonly StatementAnalysis[]> {
    const analyses = await this.#worker.analyze(copy, reading)
    // Given up is no judgement that a later execution should find.
    if (analyses === undefined) return unread(copy)
    const kept = this.#keep(copy, 0, copy.length, reading, analyses, true)
    // What comes next, recording and forwarding it, takes as long as what was done in this turn.
    if (copy.length > turnBytesMax) await new Promise((resolve) => setImmediate(resolve))
    return kept
  }

  #missed(sql: Uint8Array, start: number, end: number, reading: Reading): readonly StatementAnalysis[] {
    this.#misses += 1
    return this.#keep(sql, start, end, reading, this.#work(sql, start, end, reading))
  }

  #keep(
    sql: Uint8Array,
    start: number,
    end: number,
    reading: Reading,
    analyses: readonly StatementAnalysis[],
    isGiven = false,
  ): readonly StatementAnalysis[] {
    const first = analyses[0]
    if (first?.verb === 'UNKNOWN') this.#unparsable += 1
    if (!readsAsUtf8(sql, start, end, reading)) return analyses
    if (
      analyses.length === 1 &&
      first?.literalsMatter === false &&
      this.#stripper.strip(sql, start, end) &&
      this.#stripper.literals > 0
    ) {
      // Shared by all that are found by this key, this one included.
      const analysis = Object.freeze({ ...first, alike: {} })
      analyses = Object.freeze([analysis])
      this.#stripped.set(
        this.#stripper.key,
        0,
        this.#stripper.keyBytes,
        {
          analysis,
          untouched: isUntouched(first.text, view(sql).toString('utf8', start, end)),
          last: none,
          lastBytes: 0,
          lastHash: 0,
          lastAnalyses: analyses,
        },
        analysisBytes(first) + lastBytes,
      )
    } else
      this.#exact.set(
        sql,
        start,
        end,
        analyses,
        analyses.reduce((sum, each) => sum + analysisBytes(each), 0),
        isGiven,
      )
    return analyses
  }

  #work(sql: Uint8Array, start: number, end: number, reading: Reading): readonly StatementAnalysis[] {
    const bytes = sql.subarray(start, end)
    const parsed = this.#parsable(bytes, reading) ? this.#grammar.parse(bytes) : undefined
    if (parsed === undefined || parsed.length > statementsMax) return unread(bytes, bytes.length)
    if (parsed.length === 0) return Object.freeze([this.#analysis(bytes, 0, bytes.length, empty, bytes)])
    return Object.freeze(
      parsed.map((statement, index) => {
        const [from, to] = rangeOf(bytes, parsed, index)
        const judgement = judge(this.#functions, statement.node)
        const text = bytes.subarray(statement.start, statement.end)
        const analysis = this.#analysis(bytes, from, to, judgement, text)
        if (!this.#options.keepsTrees) return analysis
        return Object.freeze({ ...analysis, tree: slimTree(statement.node) })
      }),
    )
  }

  #parsable(bytes: Uint8Array, reading: Reading): boolean {
    return (
      bytes.length <= this.#options.parseBytesMax &&
      !bytes.includes(0) &&
      isUtf8(bytes) &&
      readsAsUtf8(bytes, 0, bytes.length, reading)
    )
  }

  #analysis(
    bytes: Uint8Array,
    from: number,
    to: number,
    judgement: Judgement,
    statement: Uint8Array,
  ): StatementAnalysis {
    const unknown = judgement === unreadable
    const text = unknown ? withoutLiterals(bytes, from, to) : withoutCredentials(bytes, from, to)
    const fingerprint = this.#grammar.fingerprint(statement) ?? fingerprintOf(text)
    return Object.freeze({ ...judgement, text, textBytes: to - from, fingerprint })
  }
}

/** Equal is not enough: what replaces a credential may have stood there itself. */
function isUntouched(text: string, original: string): boolean {
  return text === original && !original.includes('***')
}

/** Of which another thread needs no copy of its own. */
function sharedCopyOf(sql: Uint8Array, start: number, end: number): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(end - start))
  copy.set(sql.subarray(start, end))
  return copy
}

/** False where the server may cut the text at other places than a UTF-8 reader does. */
function readsAsUtf8(sql: Uint8Array, start: number, end: number, reading: Reading): boolean {
  if (!reading.standardConformingStrings) {
    const backslash = sql.indexOf(0x5c, start)
    if (backslash !== -1 && backslash < end) return false
  }
  if (!reading.encodingAsciiSafe) {
    for (let at = start; at < end; at += 1) if ((sql[at] as number) >= 0x80) return false
  }
  return true
}

type Analyses = readonly StatementAnalysis[]

/** What `read` gives where the pieces of the text do not depend on settings, nor what they say where that matters. */
function whereAlike<R extends Analyses | Promise<Analyses>>(
  sql: Uint8Array,
  start: number,
  end: number,
  read: () => R,
): R | Analyses {
  const bytes = sql.subarray(start, end)
  if (!readsAlike(bytes)) return ambiguous(bytes)
  const analyses = read()
  if (!bytes.includes(0x5c)) return analyses
  const unlessLiteralsMatter = (found: Analyses, text: Uint8Array) =>
    found.some((one) => one.literalsMatter) ? ambiguous(text) : found
  if (!(analyses instanceof Promise)) return unlessLiteralsMatter(analyses, bytes)
  const copy = new Uint8Array(bytes)
  return analyses.then((found) => unlessLiteralsMatter(found, copy)) as R
}

/**
 * Whether this is cut at the same places whatever `standard_conforming_strings` and `client_encoding` are: no backslash
 * may stand before a quote, nor, like the other ASCII bytes that can be the second of a character, behind a byte that can
 * be the first.
 */
function readsAlike(sql: Uint8Array): boolean {
  if (isAscii(sql) && !sql.includes(0x5c)) return true
  let before = 0
  for (const byte of sql) {
    if (before === 0x5c && byte === 0x27) return false
    if (before >= 0x80 && isSecond(byte)) return false
    before = byte
  }
  return true
}

/** Signs that are the second byte of some character in SJIS, Big5, GBK, GB18030, UHC or Johab. */
function isSecond(byte: number): boolean {
  return byte === 0x40 || (byte >= 0x5b && byte <= 0x60) || (byte >= 0x7b && byte <= 0x7e)
}

/** Nothing of the text is lost between two statements but the `;` and white space around it. */
function rangeOf(
  bytes: Uint8Array,
  statements: readonly RawStatement[],
  index: number,
): readonly [number, number] {
  let from = index === 0 ? 0 : (statements[index - 1] as RawStatement).end
  if (index > 0) {
    while (from < bytes.length && (bytes[from] === semicolon || isSpace(bytes[from] as number))) from += 1
  }
  const to = index === statements.length - 1 ? bytes.length : (statements[index] as RawStatement).end
  return [from, to]
}

const semicolon = 0x3b

/** What an analysis takes in memory, an estimate. */
export function analysisBytes(analysis: StatementAnalysis): number {
  let bytes = 300 + 2 * analysis.text.length + openBytes(analysis) + (analysis.tree?.length ?? 0)
  for (const object of analysis.objects) {
    bytes += 150 + object.name.length + object.namespace.length
    for (const column of object.columns) bytes += 16 + column.length
  }
  const { calls = [], operators = [], types = [], attributes = [] } = analysis.facts ?? {}
  return bytes + 100 * (calls.length + operators.length + types.length) + 20 * attributes.length
}
