/**
 * A small model of PostgreSQL's side of the protocol: statuses, skipping to Sync, names, copies, cancels. It knows a few
 * dozen statements by their exact text; every other text is a syntax error, as a whole. It answers one message at a time
 * and checks that what it runs is what the record says of that message. The differential mode asks the real server.
 */
import {
  backend,
  cstring,
  errorResponse,
  fieldsMessage,
  frontend,
  int32,
  message,
} from '../../protocols/postgres/wire.ts'
import { readyForQuery, type TransactionStatus } from '../../protocols/postgres/wire.ts'
import { nameKey, stringsOf } from './messages.ts'
import { type Meaning, meaningsOf } from './model-statements.ts'
import type { Forwarded } from './server-wire.ts'

interface Portal {
  readonly text: string
  readonly meaning: Meaning
  left: number
}

/** A simple Query under way: a copy may interrupt it. */
interface Simple {
  readonly meanings: readonly Meaning[]
  at: number
}

interface Copy {
  readonly simple: Simple | undefined
  rows: number
}

class Failure extends Error {
  readonly sqlstate: string
  constructor(sqlstate: string) {
    super(sqlstate)
    this.sqlstate = sqlstate
  }
}

const exits: ReadonlySet<Meaning['does']> = new Set(['commit', 'rollback', 'rollbackTo'])

export class ModelServer {
  status: TransactionStatus = 'I'
  /** It has ended the connection. */
  ended = false
  /** For what it cannot read on behind. */
  broken = false
  readonly #misrecorded: (what: string) => void
  readonly #prepared = new Map<string, string>()
  #portals = new Map<string, Portal>()
  #out: Buffer[] = []
  #skipping = false
  #copy: Copy | undefined
  #savepoint = false
  /** A simple Query is under way, whatever message is read. */
  #inSimple = false
  #rows = 0

  constructor(misrecorded: (what: string) => void = () => undefined) {
    this.#misrecorded = misrecorded
  }

  /** All that it says to this message. */
  answer(forwarded: Forwarded): Buffer[] {
    this.#out = []
    if (this.ended) return []
    try {
      this.#take(forwarded)
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      this.#failed(error, forwarded.type)
    }
    return this.#out
  }

  /** A cancel has come while these answers of the last message were on their way: what it says instead of the rest. */
  cancelled(type: number): Buffer[] {
    this.#out = []
    this.#copy = undefined
    this.#failed(new Failure('57014'), type)
    return this.#out
  }

  #failed({ sqlstate }: Failure, type: number): void {
    if (this.status === 'T') this.status = 'E'
    const inSimple = this.#inSimple || isSimple(type)
    this.#copy = undefined
    this.#inSimple = false
    const M = `${sqlstate} said the server at "app" (db.internal:5432), hunter22`
    this.#say(errorResponse({ S: 'ERROR', V: 'ERROR', C: sqlstate, M, R: 'model' }))
    if (inSimple || type === frontend.sync) this.#ready()
    else this.#skipping = true
  }

  #say(bytes: Buffer): void {
    this.#out.push(bytes)
  }

  #ready(): void {
    if (this.status === 'I') this.#portals = new Map()
    this.#say(readyForQuery(this.status))
  }

  #fatal(): void {
    this.#say(errorResponse({ S: 'FATAL', V: 'FATAL', C: '08P01', M: 'protocol synchronization was lost' }))
    this.ended = true
    this.broken = true
  }

  #take(forwarded: Forwarded): void {
    const { type, bytes } = forwarded
    if (type === frontend.terminate) {
      this.ended = true
      return
    }
    if (this.#copy) return this.#copying(this.#copy, type)
    if (!Object.values<number>(frontend).includes(type)) return this.#fatal()
    if (this.#skipping && type !== frontend.sync) return
    switch (type) {
      case frontend.query: {
        const [text] = strings(bytes, 1, 0)
        return this.#continue({ meanings: this.#parse(text), at: 0 })
      }
      case frontend.parse:
        return this.#prepare(bytes)
      case frontend.bind:
        return this.#bind(forwarded)
      case frontend.execute:
        return this.#execute(forwarded)
      case frontend.describe:
        return this.#describe(bytes)
      case frontend.close:
        return this.#close(bytes)
      case frontend.sync:
        this.#skipping = false
        if (bytes.length !== 5) throw new Failure('08P01')
        return this.#ready()
      case frontend.flush:
        if (bytes.length !== 5) throw new Failure('08P01')
        return
      case frontend.functionCall:
        if (bytes.length < 9) throw new Failure('08P01')
        this.#mayRun('rows')
        this.#say(message(backend.functionResult, int32(4), int32(7)))
        return this.#ready()
      default:
        // A copy's messages where nothing is copied, a password.
        if (type === frontend.password) this.#fatal()
    }
  }

  #parse(text: string): readonly Meaning[] {
    const meanings = meaningsOf(text)
    if (!meanings) throw new Failure('42601')
    return meanings
  }

  #prepare(bytes: Buffer): void {
    const [name, text] = strings(bytes, 2, 2)
    const meanings = this.#parse(text)
    if (meanings.length > 1) throw new Failure('42601')
    this.#mayRun(meanings[0]?.does ?? 'empty')
    if (name !== '' && this.#prepared.has(nameKey(name))) throw new Failure('42P05')
    this.#prepared.set(nameKey(name), text)
    this.#say(message(backend.parseComplete))
  }

  #bind({ bytes, recordedAs }: Forwarded): void {
    const [portal, name] = strings(bytes, 2, 6)
    const text = this.#prepared.get(nameKey(name))
    if (text === undefined) throw new Failure('26000')
    const [meaning = { does: 'empty' }] = this.#parse(text)
    this.#mayRun(meaning.does)
    if (portal !== '' && this.#portals.has(nameKey(portal))) throw new Failure('42P03')
    this.#isRecorded('bound', text, recordedAs)
    if (meaning.does === 'failPlan') throw new Failure('22012')
    this.#portals.set(nameKey(portal), { text, meaning, left: meaning.does === 'rows' ? meaning.count : 0 })
    this.#say(message(backend.bindComplete))
  }

  #execute({ bytes, recordedAs }: Forwarded): void {
    const [name] = strings(bytes, 1, 4)
    const portal = this.#portals.get(nameKey(name))
    if (!portal) throw new Failure('34000')
    this.#mayRun(portal.meaning.does)
    this.#isRecorded('executed', portal.text, recordedAs)
    const max = bytes.readInt32BE(bytes.length - 4)
    if (portal.meaning.does !== 'rows') return this.#run(portal.meaning, undefined)
    const count = max > 0 ? Math.min(max, portal.left) : portal.left
    portal.left -= count
    this.#rowsOf(count)
    if (max > 0 && count === max) this.#say(message(backend.portalSuspended))
    else this.#tag(`SELECT ${count}`)
  }

  #isRecorded(what: string, text: string, recordedAs: readonly (string | undefined)[]): void {
    const bySql = (source: string) => source.includes('prepare ') && source.includes(` as ${text}`)
    if (!recordedAs.some((source) => source === undefined || source === text || bySql(source)))
      this.#misrecorded(`${what} ${JSON.stringify(text)}, recorded as ${JSON.stringify(recordedAs)}`)
  }

  #describe(bytes: Buffer): void {
    const [kind, name] = kindAndName(bytes)
    const text = kind === 'S' ? this.#prepared.get(name) : this.#portals.get(name)?.text
    if (text === undefined) throw new Failure(kind === 'S' ? '26000' : '34000')
    const [meaning] = this.#parse(text)
    if (this.status === 'E') throw new Failure('25P02')
    if (kind === 'S') this.#say(message(backend.parameterDescription, Buffer.alloc(2)))
    this.#say(meaning?.does === 'rows' ? rowDescription : message(backend.noData))
  }

  #close(bytes: Buffer): void {
    const [kind, name] = kindAndName(bytes)
    if (kind === 'S') this.#prepared.delete(name)
    else this.#portals.delete(name)
    this.#say(message(backend.closeComplete))
  }

  #mayRun(does: Meaning['does']): void {
    if (this.status === 'E' && !exits.has(does)) throw new Failure('25P02')
  }

  #continue(simple: Simple): void {
    this.#inSimple = true
    if (simple.meanings.length === 0) this.#say(message(backend.emptyQuery))
    while (simple.at < simple.meanings.length) {
      const meaning = simple.meanings[simple.at++] as Meaning
      this.#mayRun(meaning.does)
      this.#run(meaning, simple)
      if (this.#copy) return
    }
    this.#inSimple = false
    this.#ready()
  }

  #run(meaning: Meaning, simple: Simple | undefined): void {
    switch (meaning.does) {
      case 'empty':
        return this.#say(message(backend.emptyQuery))
      case 'rows':
        if (simple) this.#say(rowDescription)
        this.#rowsOf(meaning.count)
        return this.#tag(`SELECT ${meaning.count}`)
      case 'failPlan':
      case 'failRun':
        throw new Failure('22012')
      case 'begin':
        if (this.status === 'I') this.status = 'T'
        return this.#tag('BEGIN')
      case 'commit':
      case 'rollback': {
        const undone = meaning.does === 'rollback' || this.status === 'E'
        this.status = 'I'
        this.#savepoint = false
        return this.#tag(undone ? 'ROLLBACK' : 'COMMIT')
      }
      case 'savepoint':
        if (this.status === 'I') throw new Failure('25P01')
        this.#savepoint = true
        return this.#tag('SAVEPOINT')
      case 'rollbackTo':
        if (this.status === 'I') throw new Failure('25P01')
        if (!this.#savepoint) throw new Failure('3B001')
        this.status = 'T'
        return this.#tag('ROLLBACK')
      case 'copyIn':
        this.#copy = { simple, rows: 0 }
        return this.#say(message(backend.copyInResponse, Buffer.from([0, 0, 1, 0, 0])))
      case 'copyOut':
        this.#say(message(backend.copyOutResponse, Buffer.from([0, 0, 1, 0, 0])))
        this.#say(message(backend.copyData, Buffer.from(`c${this.#rows++}\n`)))
        this.#say(message(backend.copyDone))
        return this.#tag('COPY 1')
      default:
        return this.#runOnNames(meaning)
    }
  }

  #runOnNames(meaning: Meaning): void {
    switch (meaning.does) {
      case 'prepare':
        if (this.#prepared.has(meaning.name)) throw new Failure('42P05')
        this.#prepared.set(meaning.name, meaning.text)
        return this.#tag('PREPARE')
      case 'executeSql':
        if (!this.#prepared.has(meaning.name)) throw new Failure('26000')
        this.#rowsOf(1)
        return this.#tag('SELECT 1')
      case 'deallocate':
        if (meaning.name !== undefined && !this.#prepared.has(meaning.name)) throw new Failure('26000')
        if (meaning.name === undefined) this.#prepared.clear()
        else this.#prepared.delete(meaning.name)
        return this.#tag(meaning.name === undefined ? 'DEALLOCATE ALL' : 'DEALLOCATE')
      case 'declare': {
        if (this.status === 'I') throw new Failure('25P01')
        if (this.#portals.has(meaning.name)) throw new Failure('42P03')
        this.#portals.set(meaning.name, { text: meaning.text, meaning: { does: 'rows', count: 2 }, left: 2 })
        return this.#tag('DECLARE CURSOR')
      }
      case 'fetch': {
        const portal = this.#portals.get(meaning.name)
        if (!portal) throw new Failure('34000')
        const count = Math.min(1, portal.left)
        portal.left -= count
        this.#rowsOf(count)
        return this.#tag(`FETCH ${count}`)
      }
      case 'closeCursor':
        if (!this.#portals.delete(meaning.name)) throw new Failure('34000')
        return this.#tag('CLOSE CURSOR')
      case 'notice':
        this.#say(fieldsMessage(backend.notice, { S: 'NOTICE', V: 'NOTICE', C: '00000', M: 'from "app"' }))
        return this.#tag('DO')
      case 'notify':
        this.#say(message(backend.notification, int32(7), cstring('n'), cstring('')))
        return this.#tag('NOTIFY')
      case 'set':
        this.#say(message(backend.parameterStatus, cstring(meaning.name), cstring(meaning.value)))
        return this.#tag('SET')
      case 'tag':
        return this.#tag(meaning.tag)
      default:
        throw new Error(`the model does not know ${meaning.does}`)
    }
  }

  #copying(copy: Copy, type: number): void {
    switch (type) {
      case frontend.copyData:
        copy.rows++
        return
      case frontend.flush:
      case frontend.sync:
        return
      case frontend.copyDone:
        this.#copy = undefined
        this.#tag(`COPY ${copy.rows}`)
        return copy.simple && this.#continue(copy.simple)
      case frontend.copyFail:
        throw new Failure('57014')
      default:
        return this.#fatal()
    }
  }

  #rowsOf(count: number): void {
    for (let row = 0; row < count; row++) {
      const value = Buffer.from(`r${this.#rows++}`)
      this.#say(message(backend.dataRow, Buffer.from([0, 1]), int32(value.length), value))
    }
  }

  #tag(tag: string): void {
    this.#say(message(backend.commandComplete, cstring(tag)))
  }
}

const rowDescription = message(
  backend.rowDescription,
  Buffer.from([0, 1]),
  cstring('v'),
  Buffer.alloc(6),
  int32(25),
  Buffer.alloc(8),
)

function isSimple(type: number): boolean {
  return type === frontend.query || type === frontend.functionCall
}

/** The strings at the payload's start, with exactly (0, 4) or at least (2, 6) so many bytes behind them. */
function strings(bytes: Buffer, count: 1, behind: number): [string]
function strings(bytes: Buffer, count: 2, behind: number): [string, string]
function strings(bytes: Buffer, count: number, behind: number): string[] {
  const found = stringsOf(bytes, count)
  const used = found.reduce((sum, text) => sum + text.length + 1, 5)
  const exact = count === 1 || behind === 2
  const left = bytes.length - used
  if (found.length < count || (exact ? left !== behind : left < behind)) throw new Failure('08P01')
  return found
}

function kindAndName(bytes: Buffer): [string, string] {
  const [name] = stringsOf(bytes, 1, 6)
  const kind = String.fromCharCode(bytes[5] ?? 0)
  if (name === undefined || bytes.length !== 7 + name.length || !'SP'.includes(kind))
    throw new Failure('08P01')
  return [kind, nameKey(name)]
}
