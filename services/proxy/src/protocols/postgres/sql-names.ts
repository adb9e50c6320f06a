/**
 * What a statement comes to in its session: with the catalogue of its target, and where it uses a name that SQL gave
 * (EXECUTE, FETCH), with what that name stands for. The rules are those of statements.ts: a name counts once the server
 * has done what makes it, and from the moment on that something is forwarded which may change it, it is unknown. Errors
 * and rollbacks need no care beyond that: a cursor that they took away can be fetched from no more, so nothing runs
 * under a name that is believed too long.
 */
import type { Analysis, Command, Unit } from '@portcullis/kernel'
import { type NamedStatement, resolveNames, type StatementAnalysis } from '@portcullis/sql'
import type { ReadText } from './read-text.ts'
import type { Sight } from './session-catalogue.ts'
import { isAscii, type Statements } from './statements.ts'

const cursorsMax = 1000

type NamesReader = Pick<ReadText, 'sight' | 'bind' | 'bindExecute' | 'refine'>

interface Cursor {
  readonly command: Command
  readonly analysis: StatementAnalysis
  readonly holds: boolean
  readonly sight: Sight | undefined
}

/** A statement as it was resolved last, so that the same one again is the same object to whoever compares. */
interface Joined {
  readonly origin: StatementAnalysis
  readonly result: StatementAnalysis
}

export class SqlNames {
  readonly #statements: Statements
  readonly #readText: NamesReader
  readonly #cursors = new Map<string, Cursor>()
  readonly #joined = new WeakMap<StatementAnalysis, Joined>()

  constructor(statements: Statements, readText: NamesReader) {
    this.#statements = statements
    this.#readText = readText
  }

  /**
   * The same objects for the same ones as long as nothing changes what they come to. What only PREPARE names is not run
   * before its values are known.
   */
  meaning(analyses: readonly StatementAnalysis[]): readonly StatementAnalysis[] {
    const { bind, refine } = this.#readText
    const isPrepared = ({ named }: StatementAnalysis) => named?.kind === 'prepared' && named.action === 'make'
    const bound = analyses.some(isPrepared)
      ? analyses.map((one) => (isPrepared(one) ? bind(one, undefined) : one))
      : analyses
    return resolveNames(
      refine(bound),
      (kind, name, args) => this.#standsFor(kind, name, args),
      (analysis, origin, join) => this.#join(analysis, origin, join),
    )
  }

  /** The commands that declared the cursors which these fetch from; undefined where none does. */
  charges(analyses: readonly Analysis[]): Unit['charges'] {
    const charges = analyses.map((analysis) => {
      const { named, origin } = analysis as Partial<StatementAnalysis>
      if (named?.kind !== 'cursor' || named.name === undefined || origin === undefined) return undefined
      const cursor = this.#cursors.get(named.name)
      // The text itself may have declared another of that name.
      return cursor?.analysis.fingerprint === origin ? cursor.command : undefined
    })
    return charges.some((one) => one !== undefined) ? charges : undefined
  }

  /** What names stood for when the cursors were declared which these fetch from; undefined where none does. */
  sights(analyses: readonly Analysis[]): readonly (Sight | undefined)[] | undefined {
    const uses = analyses.map((one) => (one as Partial<StatementAnalysis>).named)
    if (!uses.some((named) => named?.kind === 'cursor' && named.action === 'use')) return undefined
    // The text itself declares another of that name.
    if (uses.some((named) => named?.kind === 'cursor' && named.action !== 'use')) return undefined
    return uses.map((named) => {
      if (named?.kind !== 'cursor' || named.name === undefined) return undefined
      return this.#cursors.get(named.name)?.sight ?? this.#statements.portal(named.name)?.sight
    })
  }

  /** A portal of the protocol: it shares its names with cursors, and fails where the name is taken. */
  bound(portal: string): void {
    this.#cursors.delete(portal)
  }

  /** When a command is forwarded, and when the server has done it. */
  note(command: Command, isDone: boolean): void {
    const { analysis } = command
    const { verb, named } = analysis as Analysis & Pick<Partial<StatementAnalysis>, 'named'>
    if (verb === 'DISCARD') {
      this.#cursors.clear()
      this.#statements.deallocate(undefined, isDone)
    } else if (named?.kind === 'cursor' && named.action !== 'use') {
      this.#statements.forgetPortals()
      if (named.name === undefined) this.#cursors.clear()
      else this.#cursors.delete(named.name)
      if (isDone && named.action === 'make') this.#declare(named, command)
    } else if (named?.kind === 'prepared' && named.action === 'drop')
      this.#statements.deallocate(named.name, isDone)
    else if (named?.kind === 'prepared' && named.action === 'make' && isDone && named.name !== undefined)
      this.#statements.preparedBySql({
        name: named.name,
        analyses: [asPrepared(analysis as StatementAnalysis)],
        types: [],
      })
  }

  /** Only cursors WITH HOLD outlive their transaction. */
  endTransaction(): void {
    for (const [name, { holds }] of this.#cursors) if (!holds) this.#cursors.delete(name)
  }

  #declare({ name, holds }: NamedStatement, command: Command): void {
    if (name !== undefined && isAscii(name) && this.#cursors.size < cursorsMax)
      this.#cursors.set(name, {
        ...{ command, analysis: command.analysis as StatementAnalysis, holds },
        sight: this.#readText.sight(),
      })
  }

  #standsFor(
    kind: NamedStatement['kind'],
    name: string,
    args: NamedStatement['args'],
  ): StatementAnalysis | undefined {
    const { bindExecute, refine } = this.#readText
    const prepared =
      kind === 'prepared' ? this.#statements.prepared(name) : this.#statements.portal(name)?.prepared
    const analysis =
      (kind === 'cursor' ? this.#cursors.get(name)?.analysis : undefined) ?? prepared?.analyses[0]
    return analysis && refine([kind === 'prepared' ? bindExecute(analysis, args) : analysis])[0]
  }

  #join(
    analysis: StatementAnalysis,
    origin: StatementAnalysis,
    join: () => StatementAnalysis,
  ): StatementAnalysis {
    const before = this.#joined.get(analysis)
    if (before?.origin === origin) return before.result
    const result = join()
    this.#joined.set(analysis, { origin, result })
    return result
  }
}

/** What a prepared name runs: rows may come of it, and it makes no name itself. */
function asPrepared({ named: _made, ...analysis }: StatementAnalysis): StatementAnalysis {
  return Object.freeze({ ...analysis, verb: 'EXECUTE', returnsRows: true })
}

/** Fingerprints of the statements behind the names that these use; undefined where none does. */
export function originsOf(analyses: readonly Analysis[]): string | undefined {
  const origins = analyses.flatMap((analysis) => (analysis as Partial<StatementAnalysis>).origin ?? [])
  return origins.length === 0 ? undefined : origins.join(',')
}
