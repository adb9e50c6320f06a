/**
 * The extended protocol, client -> server. Parse and Bind each open a command, for planning can run functions; Execute
 * goes on with the one that its portal opened: decided again, recorded once. What was opened and not executed by the
 * Sync was only prepared. It refuses a name beyond the room for names, and takes one that it never saw for unknown.
 */
import { createHash } from 'node:crypto'
import type { Original, Unit } from '@portcullis/kernel'
import type { StatementAnalysis } from '@portcullis/sql'
import type { Batch } from './batch.ts'
import { bindValuesOf, parameterTypesOf } from './bind-values.ts'
import type { CopyIn } from './copy-in.ts'
import type { Frame } from './frames.ts'
import type { Ledger, Prepared, Running } from './ledger.ts'
import { describePortal, unknownStatementAnalysis } from './own-messages.ts'
import type { ReadText } from './read-text.ts'
import { endOfString, mayBeCut, mayCopyIn, nameOf, whenRead } from './request-rules.ts'
import type { Units } from './request-units.ts'
import { shownValuesOf } from './shown-values.ts'
import type { Portal } from './statements.ts'
import { frontend, headerBytes, message } from './wire.ts'

export interface ExtendedRequestsDeps {
  readonly ledger: Ledger
  readonly readText: ReadText
  /** Each execution has a time of its own: the server must not hold its answer back. */
  readonly isTimed: boolean
}

/** It takes a time that others wait. */
const digestedBytesMax = 65_536
const tooMany = { objection: 'too_many_statements' } as const
/** What Close and Describe say of a name that is a statement's, not a portal's. */
const ofStatement = 0x53

export class ExtendedRequests {
  readonly #deps: ExtendedRequestsDeps
  readonly #batch: Batch
  readonly #copy: CopyIn
  readonly #units: Units

  constructor(deps: ExtendedRequestsDeps, batch: Batch, copy: CopyIn, units: Units) {
    this.#deps = deps
    this.#batch = batch
    this.#copy = copy
    this.#units = units
  }

  parse(frame: Frame): Unit | Promise<Unit> {
    const units = this.#units
    if (units.isTooLarge(frame)) return units.tooLarge(frame, false)
    const { buffer, end } = frame
    const nameEnd = endOfString(buffer, frame.start + headerBytes, end)
    const textEnd = endOfString(buffer, nameEnd + 1, end)
    const name = nameOf(buffer, frame.start + headerBytes, nameEnd)
    const { ledger, readText } = this.#deps
    const { statements } = units
    const types = parameterTypesOf(buffer, textEnd + 1, end)
    return whenRead(units.withColumns(readText.analyze(buffer, nameEnd + 1, textEnd)), (read) => {
      const prepared: Prepared = { name, analyses: read, types }
      const analyses = units.meaning(units.bound(read))
      const undoes = units.undoes(analyses, name)
      // What is held is held with its values; what these decide, and what keeps its name, may come to be.
      const isOpen = read.some(({ open }) => open !== undefined)
      const mayBeHeld = (isOpen || name !== '') && end - nameEnd <= digestedBytesMax
      const digest = () => {
        prepared.textDigest ??= createHash('sha256')
          .update(buffer.subarray(nameEnd + 1, end))
          .digest()
      }
      const defers = () => {
        digest()
        units.withhold()
      }
      const parts = statements.hasRoomFor(prepared)
        ? { analyses, undoes, defers, estimate: 'nothing' as const }
        : { analyses, ...tooMany }
      const unit = units.extended(frame, parts, (runs) => {
        this.#batch.isOpen = true
        if (mayBeHeld) digest()
        readText.unsure()
        statements.prepare(prepared)
        // No server takes more than one; they must have an outcome all the same.
        for (const run of runs) statements.opened(run, run === runs[0] ? prepared : undefined)
        ledger.push({ kind: 'parse', prepared, runs })
      })
      if (isOpen) units.withhold()
      return unit
    })
  }

  bind(frame: Frame): Unit | Promise<Unit> {
    const { buffer, end } = frame
    const portalEnd = endOfString(buffer, frame.start + headerBytes, end)
    const nameEnd = endOfString(buffer, portalEnd + 1, end)
    const name = nameOf(buffer, portalEnd + 1, nameEnd)
    const { statements } = this.#units
    const settled = statements.settled(name)
    if (settled) return settled.then(() => this.bind(frame))
    const portal = nameOf(buffer, frame.start + headerBytes, portalEnd)
    const known = statements.prepared(name)
    const coming = known && this.#units.columnsComing(known.analyses)
    if (coming) return coming.then(() => this.bind(frame))
    const prepared = known && this.#withValues(known, frame, nameEnd + 1)
    const meant = prepared && this.#units.meaning(prepared.analyses)
    // What a rule reads of an execution is not what it read of a text that was prepared.
    const opened = this.#units.asksRows ? undefined : known && statements.takeOpened(known, meant?.[0])
    const estimate = meant && this.#estimate(meant, frame, nameEnd + 1, known)
    const original = () => originalOf(frame, nameEnd + 1, known, this.#deps.readText.standFor())
    if (opened) {
      const { command } = opened
      const undoes = command.analysis.undoes && name === '' && portal === ''
      const parts = { analyses: [command.analysis], undoes, adopts: command, original, estimate }
      const goOn = () => {
        opened.bytesIn += end - frame.start + frame.rest
        this.#bound(portal, prepared, [opened], estimate)
      }
      return this.#units.extended(frame, parts, goOn, opened)
    }
    const analyses = meant ?? [unknownStatementAnalysis(name)]
    const undoes = this.#units.undoes(analyses, name, portal)
    const parts = statements.hasRoomForPortal(portal)
      ? { analyses, undoes, original, estimate }
      : { analyses, ...tooMany }
    return this.#units.extended(frame, parts, (runs) => {
      for (const run of runs) statements.opened(run)
      this.#bound(portal, prepared, runs, estimate)
    })
  }

  execute(frame: Frame): Unit {
    const start = frame.start + headerBytes
    const name = nameOf(frame.buffer, start, endOfString(frame.buffer, start, frame.end))
    const { statements } = this.#units
    const portal = statements.portal(name)
    const meant = portal?.prepared && this.#units.meaning(portal.prepared.analyses)
    // What a name stands for counts when it is executed, not when it was bound.
    const isSame = !meant || portal.run?.command.analysis === meant[0]
    const opened = isSame ? statements.openedFor(portal) : undefined
    if (opened) {
      const { command } = opened
      const undoes = command.analysis.undoes && name === '' && nameBehind(portal) === ''
      const { estimate } = portal ?? {}
      const parts = {
        analyses: [command.analysis],
        undoes,
        adopts: command,
        estimate,
        ...this.#units.lineageOf(portal),
      }
      const before = () => this.#describeFirst(name, portal, opened)
      return this.#units.extended(frame, parts, () => this.#executed(opened), opened, before)
    }
    const analyses = (meant ?? [unknownStatementAnalysis(name)]).slice(0, 1)
    const undoes = this.#units.undoes(analyses, name, nameBehind(portal))
    // A portal that is read in pieces is one result.
    const same = isSame && { charges: [portal?.run?.command], estimate: portal?.estimate }
    const parts = { analyses, undoes, ...same, ...this.#units.lineageOf(portal) }
    const before = ([run]: readonly Running[]) => run && this.#describeFirst(name, portal, run)
    return this.#units.extended(frame, parts, ([run]) => run && this.#executed(run), undefined, before)
  }

  /** It tells whoever may no longer ask what a statement returns, and makes the server plan: so the gate decides it too. */
  describe(frame: Frame): Unit {
    const start = frame.start + headerBytes
    const name = nameOf(frame.buffer, start + 1, endOfString(frame.buffer, start + 1, frame.end))
    const { statements } = this.#units
    const isStatement = frame.buffer[start] === ofStatement
    const portal = isStatement ? undefined : statements.portal(name)
    const prepared = isStatement ? statements.prepared(name) : portal?.prepared
    const opened = isStatement ? statements.peekOpened(prepared) : statements.openedFor(portal)
    const goOn = () => {
      this.#batch.isOpen = true
      if (portal) portal.shape ??= { fields: undefined }
      const described = isStatement ? { prepared } : { shape: portal?.shape }
      this.#deps.ledger.push({ kind: 'describe', ...described })
    }
    if (opened) {
      const { command } = opened
      const undoes = command.analysis.undoes && name === '' && prepared?.name === ''
      return this.#units.extended(
        frame,
        { analyses: [command.analysis], undoes, adopts: command, describes: true, estimate: 'nothing' },
        goOn,
        opened,
      )
    }
    // A portal's has its values; nothing of it is run by being described.
    const analyses = prepared ? this.#units.bound(prepared.analyses) : [unknownStatementAnalysis(name)]
    return this.#units.extended(
      frame,
      { analyses: analyses.slice(0, 1), describes: true, estimate: 'nothing' },
      goOn,
    )
  }

  close(frame: Frame): void {
    this.#batch.open(frame)
    const start = frame.start + headerBytes
    const name = nameOf(frame.buffer, start + 1, endOfString(frame.buffer, start + 1, frame.end))
    const isStatement = frame.buffer[start] === ofStatement
    if (isStatement) this.#units.statements.forget(name)
    this.#deps.ledger.push({ kind: 'close', statement: isStatement ? name : undefined })
  }

  sync(frame: Frame): void {
    this.#batch.forward(frame)
    this.#batch.close()
    this.#deps.ledger.push({ kind: 'sync', opened: this.#units.statements.closeBatch() })
  }

  /** As the portal will run it. */
  #withValues(prepared: Prepared, { buffer, end }: Frame, at: number): Prepared {
    if (prepared.analyses.every(({ open }) => open === undefined)) return prepared
    const values = bindValuesOf(buffer, at, end, prepared.types)
    return { ...prepared, analyses: this.#units.bound(prepared.analyses, values) }
  }

  #estimate(
    analyses: readonly StatementAnalysis[],
    { buffer, end, rest }: Frame,
    at: number,
    prepared: Prepared | undefined,
  ): Unit['estimate'] {
    return this.#units.estimate(analyses, () => {
      const values = rest === 0 ? shownValuesOf(buffer, at, end) : undefined
      return values && prepared && { types: prepared.types, piece: Buffer.from(values.piece) }
    })
  }

  #bound(
    portal: string,
    prepared: Prepared | undefined,
    runs: readonly Running[],
    estimate: Unit['estimate'],
  ): void {
    this.#batch.isOpen = true
    this.#deps.readText.unsure()
    const sight = this.#deps.readText.sight()
    this.#units.statements.bind(portal, { prepared, run: runs[0], estimate, sight })
    this.#units.portalBound(portal)
    this.#deps.ledger.push({ kind: 'bind', portal, prepared, runs, sight })
  }

  /** Where its result is masked, the server must have said what it is before the first row comes. */
  #describeFirst(name: string, portal: Portal | undefined, run: Running): void {
    if (!run.command.mask || !run.command.analysis.returnsRows) return
    run.shape = portal?.shape
    if (run.shape) return
    run.shape = { fields: undefined }
    if (portal) portal.shape = run.shape
    this.#batch.output.add(describePortal(name))
    this.#deps.ledger.push({ kind: 'describe', shape: run.shape, runs: [run] })
  }

  #executed(run: Running): void {
    this.#batch.isOpen = true
    run.executed = true
    this.#deps.ledger.push({ kind: 'execute', runs: [run] })
    this.#units.noteNames(run.command, false)
    this.#deps.readText.unsure()
    if (mayCopyIn(run)) this.#copy.holdFor(run)
    if (mayBeCut(run) || mayCopyIn(run)) this.#batch.holdAndFlush(run)
    else if (this.#deps.isTimed) this.#batch.output.add(message(frontend.flush))
  }
}

/** Undefined where the gate did not see the text, or not all of the values. */
function originalOf(
  frame: Frame,
  start: number,
  prepared: Prepared | undefined,
  names: string,
): Original | undefined {
  const values = frame.rest === 0 ? shownValuesOf(frame.buffer, start, frame.end) : undefined
  if (!values || !prepared?.textDigest) return undefined
  return { pieces: [prepared.textDigest, values.piece], names, values: values.shown }
}

/** By SQL a cursor can take over the name of a portal. */
function nameBehind(portal: Portal | undefined): string {
  return portal?.prepared?.name ?? ''
}
