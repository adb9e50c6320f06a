// One statement's walk: what it was found to read, copy and touch so far, and which names stand for what at this point of
// the text. Refuses to know any node of the grammar: those are in the files beside this one.
import type { Index } from '../catalogue.ts'
import type { SearchPath } from '../catalogue-types.ts'
import type { TreeNode } from '../grammar.ts'
import {
  derived,
  type Flow,
  isClean,
  isMade,
  isMixed,
  isStored,
  lost,
  type Ref,
  type Relation,
  whole,
} from './flow.ts'

/** A statement that takes more is lost: the time that it takes here is everybody's. */
const stepsMax = 100_000
/** Well within this thread's stack. */
const depthMax = 500

export class TooMuch extends Error {}

/** Columns that were met, of which nobody asks in what way. */
export class Uses {
  readonly refs = new Set<Ref>()
  /** How many questions about each are asked; Infinity: as many as there are rows. */
  readonly times = new Map<Ref, number>()
  isLost = false

  add(flow: Flow, count = 1): void {
    const times = isMixed(flow) ? Infinity : count
    for (const ref of flow.refs) {
      this.refs.add(ref)
      this.times.set(ref, (this.times.get(ref) ?? 0) + times)
    }
    if (flow.lost) this.isLost = true
  }

  /** Values of different rows are compared with each other. */
  addAmong(flow: Flow): void {
    this.add(flow, isMade(flow) ? Infinity : 1)
  }

  /** All columns of it, each by itself. */
  addRows(relation: Relation): void {
    this.add({ ...whole(relation), rows: undefined })
    for (const { flow } of relation.columns) if (isMixed(flow) || isMade(flow)) this.add(flow, Infinity)
  }

  /** Both are equal. Two columns of tables ask what is stored; anything else, what the client makes up. */
  addEqual(flows: readonly Flow[]): void {
    const flow = derived(flows)
    this.add(flows.every(isStored) ? { ...flow, rows: undefined } : flow)
  }

  get flow(): Flow {
    return { refs: this.refs, lost: this.isLost, exact: false }
  }
}

/** What a name in FROM stands for. */
export interface Leaf {
  readonly alias: string
  /** Of a table that has no alias. */
  readonly schema: string
  readonly relation: Relation
  /** It has ctid, tableoid and the like. */
  readonly isStored: boolean
  /** Its columns are found without its name. */
  readonly isOpen: boolean
}

/** One SELECT, or a change: where its columns may come from. */
export interface Level {
  readonly leaves: Leaf[]
  readonly outer: Level | undefined
  readonly ctes: Ctes | undefined
  /** Arguments of the function whose body it is, by name. */
  readonly arguments: ReadonlyMap<string, Flow> | undefined
}

export interface Ctes {
  readonly name: string
  readonly relation: Relation
  readonly outer: Ctes | undefined
}

export interface TraceOptions {
  readonly index: Index
  readonly path: SearchPath
  /** Where bodies of functions look, which is the session's own; absent: the same. */
  readonly sessionPath?: SearchPath
  /** What `$1` and on stand for; those of a client are made of nothing that is stored. */
  readonly parameters?: readonly Flow[]
  /** What an EXECUTE runs. */
  readonly behind?: TreeNode | undefined
  /** Views and functions that this one stands in. */
  readonly depth?: number
}

export class Trace {
  readonly index: Index
  readonly path: SearchPath
  readonly sessionPath: SearchPath
  readonly parameters: readonly Flow[] | undefined
  readonly behind: TreeNode | undefined
  readonly depth: number
  readonly reads = new Uses()
  copies = new Uses()
  readonly raises = new Uses()
  /** What functions of the target's own gave back, which planning may show. */
  readonly called = new Uses()
  #steps = 0
  #nested = 0

  constructor(options: TraceOptions) {
    const { index, path, parameters, behind, depth = 0 } = options
    this.index = index
    this.path = path
    this.sessionPath = 'sessionPath' in options ? options.sessionPath : path
    this.parameters = parameters
    this.behind = behind
    this.depth = depth
  }

  /** For a text of the catalogue's, in which every name has its schema, or is PostgreSQL's own. */
  inside(options: Partial<TraceOptions> = {}): Trace {
    const { index, sessionPath, depth } = this
    return new Trace({ index, path: [], sessionPath, depth: depth + 1, ...options })
  }

  /** @throws TooMuch */
  step<T>(body: () => T): T {
    if (++this.#steps > stepsMax || this.#nested > depthMax) throw new TooMuch('statement too large')
    this.#nested += 1
    const result = body()
    this.#nested -= 1
    return result
  }

  /** Nobody can tell what becomes of what this statement touches. */
  lose(): void {
    for (const uses of [this.reads, this.copies, this.raises]) uses.add(lost)
  }

  /** It is met: an error may quote it. */
  touch(flow: Flow): Flow {
    if (!isClean(flow)) this.raises.add(flow)
    return flow
  }
}
