/**
 * How many rows a statement would change or return, as the target's planner says, over a connection of the gate's own:
 *
 *   gate                                      server
 *   StartupMessage, sign-in          ->       as the session's role, with its search path
 *   Query: limits                    ->       read-only, statement and lock timeouts
 *   Parse EXPLAIN, Bind, Execute     ->       with the client's values; never ANALYZE
 *                                    <-       the plan as JSON
 *   Terminate                        ->
 *
 * It asks only about one plain query or change whose functions are vouched for, since planning runs them, and whose text it
 * has byte for byte. It sees nothing that the session's open transaction has not committed, and no temporary tables.
 */
import type { Analysis, TargetAccess, Unit } from '@portcullis/kernel'
import { ByteReader } from './byte-reader.ts'
import { openUpstream } from './hosts.ts'
import { backend, cstring, frontend, int32, message } from './wire.ts'

export interface Estimating {
  readonly access: TargetAccess
  /** As the session has it now; undefined: not known. */
  readonly searchPath: () => readonly string[] | 'default' | undefined
}

/** Copies what a client bound; undefined: not all of it is there. Called at once, and only where it is needed. */
export type ValuesOf = () => BoundValues | undefined

interface BoundValues {
  /** OIDs as the client gave them. */
  readonly types: readonly number[]
  /** Formats and values as in its Bind. */
  readonly piece: Buffer
}

/** undefined: nobody can tell. `valuesOf` undefined: there are none. */
export function rowEstimateOf(
  { access, searchPath }: Estimating,
  analyses: readonly Analysis[],
  valuesOf: ValuesOf = () => none,
): Unit['estimate'] {
  const [analysis, ...others] = analyses
  if (analysis === undefined || others.length > 0) return undefined
  // Of the session, or definitions that take nothing away.
  if (analysis.effects.every((effect) => effect === 'define')) return 'nothing'
  const path = searchPath()
  const { estimateMsMax } = access
  if (estimateMsMax === undefined || path === undefined || !isPlain(analysis)) return undefined
  const values = valuesOf()
  if (values === undefined) return undefined
  const text = `EXPLAIN (FORMAT JSON) ${analysis.text}`
  return {
    analysis: {
      ...{ text, textBytes: Buffer.byteLength(text), fingerprint: analysis.fingerprint, verb: 'EXPLAIN' },
      ...{ effects: ['read'], objects: [], privileged: false, returnsRows: true, undoes: false },
    },
    ask: () => within(estimateMsMax, (signal) => planned(access, path, text, values, estimateMsMax, signal)),
  }
}

const none: BoundValues = { types: [], piece: Buffer.alloc(4) }

const plainVerbs = new Set(['SELECT', 'VALUES', 'INSERT', 'UPDATE', 'DELETE', 'MERGE'])

function isPlain({ verb, effects, privileged, text, textBytes }: Analysis): boolean {
  const isVouched = effects.every((effect) => effect === 'read' || effect === 'write' || effect === 'delete')
  // Where a credential was taken out it is another text.
  const isWhole = !text.includes('***') && Buffer.byteLength(text) === textBytes
  return plainVerbs.has(verb) && isVouched && !privileged && isWhole
}

async function within(
  msMax: number,
  ask: (signal: AbortSignal) => Promise<number | undefined>,
): Promise<number | undefined> {
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(), msMax)
  const late = new Promise<undefined>((resolve) =>
    controller.signal.addEventListener('abort', () => resolve(undefined)),
  )
  try {
    return await Promise.race([ask(controller.signal).catch(() => undefined), late])
  } finally {
    clearTimeout(timer)
  }
}

async function planned(
  access: TargetAccess,
  path: readonly string[] | 'default',
  text: string,
  { types, piece }: BoundValues,
  msMax: number,
  signal: AbortSignal,
): Promise<number | undefined> {
  const search_path =
    path === 'default' ? undefined : path.map((name) => `"${name.replaceAll('"', '""')}"`).join()
  const parameters = {
    application_name: 'portcullis-estimate',
    ...(search_path !== undefined && { search_path }),
  }
  const upstream = await openUpstream(access, parameters)
  const { socket } = upstream.source
  const end = () => socket.destroy()
  socket.on('error', () => undefined)
  signal.addEventListener('abort', end)
  if (signal.aborted) end()
  try {
    const limits = `set statement_timeout = ${msMax}; set lock_timeout = ${msMax}; set default_transaction_read_only = on`
    const oids = Buffer.concat([Buffer.of(types.length >> 8, types.length & 255), ...types.map(int32)])
    socket.write(
      Buffer.concat([
        message(frontend.query, cstring(limits)),
        message(frontend.parse, cstring(''), cstring(text), oids),
        message(frontend.bind, cstring(''), cstring(''), piece, Buffer.alloc(2)),
        message(frontend.execute, cstring(''), int32(0)),
        message(frontend.sync),
      ]),
    )
    return rowsIn(await answered(new ByteReader(upstream.source)))
  } finally {
    signal.removeEventListener('abort', end)
    socket.end(message(frontend.terminate), end)
  }
}

const planBytesMax = 1_048_576

/** The one value of each row, after two ReadyForQuery; undefined where it failed. */
async function answered(reader: ByteReader): Promise<string | undefined> {
  let plan = ''
  let ready = 0
  let failed = false
  for (;;) {
    const header = await reader.take(5)
    const length = header.readUInt32BE(1) - 4
    if (!(length >= 0) || plan.length + length > planBytesMax) return undefined
    const payload = await reader.take(length)
    if (header[0] === backend.error) failed = true
    else if (header[0] === backend.dataRow) plan += payload.toString('utf8', 6)
    else if (header[0] === backend.readyForQuery && ++ready === 2) return failed ? undefined : plan
  }
}

interface Node {
  readonly 'Node Type'?: unknown
  readonly 'Plan Rows'?: unknown
  readonly Plans?: readonly Node[]
}

/** What is changed, by whichever part of it, or what comes back, whatever is more. */
export function rowsIn(plan: string | undefined): number | undefined {
  if (plan === undefined) return undefined
  const parsed: unknown = JSON.parse(plan)
  const root = Array.isArray(parsed) ? (parsed[0] as { Plan?: Node } | undefined)?.Plan : undefined
  if (root === undefined) return undefined
  const counts = [rowsOf(root)]
  const visit = (node: Node): void => {
    const below = node.Plans ?? []
    // What goes into a change is what is changed.
    if (node['Node Type'] === 'ModifyTable') counts.push(below.reduce((sum, one) => sum + rowsOf(one), 0))
    for (const one of below) visit(one)
  }
  visit(root)
  const most = Math.max(...counts)
  return Number.isFinite(most) ? Math.round(most) : undefined
}

function rowsOf(node: Node): number {
  return typeof node['Plan Rows'] === 'number' ? node['Plan Rows'] : Number.NaN
}
