// PostgreSQL 18's own grammar, from libpg-query's WASM. It reaches below that package's string API, because the gate
// holds bytes and because an instance must be replaceable: a C stack that overflowed, or a heap that grew, stays so for
// the life of an instance. Refuses to interpret a tree: that is effects.ts.
import create, { type PgQueryModule } from 'libpg-query/wasm/libpg-query.js'
import { SqlError } from './errors.ts'

export type Tree = null | string | number | boolean | readonly Tree[] | TreeNode
export interface TreeNode {
  readonly [field: string]: Tree | undefined
}

export interface RawStatement {
  readonly node: TreeNode
  /** Byte offsets in the text that was parsed; the end stands before the `;`. */
  readonly start: number
  readonly end: number
}

export interface Grammar {
  /** undefined: PostgreSQL would not parse it, or the parser could not (too deep). The bytes hold no NUL. */
  parse(sql: Uint8Array): readonly RawStatement[] | undefined
  /** 16 hexadecimal digits, equal for texts that differ in literals only; undefined where it cannot be made. */
  fingerprint(sql: Uint8Array): string | undefined
  /** How many instances were replaced since the start, for metrics and tests. */
  readonly replaced: number
  /** Resolves once no replacement is being made. */
  settled(): Promise<void>
}

// Struct PgQueryParseResult { char* tree; char* stderr; PgQueryError* error }, pinned by grammar.test.ts.
const treeField = 0
const errorField = 8

export async function loadGrammar(): Promise<Grammar> {
  return new WasmGrammar(await instantiate())
}

class WasmGrammar implements Grammar {
  replaced = 0
  #module: PgQueryModule
  #heapBytesFirst: number
  #replacement: Promise<void> | undefined

  constructor(module: PgQueryModule) {
    this.#module = module
    this.#heapBytesFirst = module.HEAPU8.length
  }

  parse(sql: Uint8Array): readonly RawStatement[] | undefined {
    const json = this.#call(sql, (module, text) => {
      const result = module._wasm_parse_query_raw(text)
      if (result === 0) return undefined
      try {
        if (module.getValue(result + errorField, 'i32') !== 0) return undefined
        const tree = module.getValue(result + treeField, 'i32')
        return tree === 0 ? undefined : module.UTF8ToString(tree)
      } finally {
        module._wasm_free_parse_result(result)
      }
    })
    if (json === undefined) return undefined
    const tree: unknown = JSON.parse(json)
    if (!isTree(tree)) return undefined
    return statementsOf(tree, sql.length)
  }

  fingerprint(sql: Uint8Array): string | undefined {
    const text = this.#call(sql, (module, pointer) => {
      const result = module._wasm_fingerprint(pointer)
      if (result === 0) return undefined
      try {
        return module.UTF8ToString(result)
      } finally {
        module._wasm_free_string(result)
      }
    })
    // On an error the same call answers with the error's message.
    return text !== undefined && /^[0-9a-f]{16}$/.test(text) ? text : undefined
  }

  async settled(): Promise<void> {
    await this.#replacement
  }

  #call(
    sql: Uint8Array,
    body: (module: PgQueryModule, text: number) => string | undefined,
  ): string | undefined {
    const module = this.#module
    try {
      const text = module._malloc(sql.length + 1)
      if (text === 0) throw new SqlError('grammar_unavailable', 'no memory left in the parser')
      module.HEAPU8.set(sql, text)
      module.HEAPU8[text + sql.length] = 0
      const result = body(module, text)
      module._free(text)
      if (module.HEAPU8.length > this.#heapBytesFirst) this.#replace()
      return result
    } catch {
      // A trap or an overflown stack: what the C side had allocated is lost to it, so the instance goes.
      this.#replace()
      return undefined
    }
  }

  /** The old instance serves until the new one stands: it still parses, it only leaks. */
  #replace(): void {
    this.#replacement ??= instantiate().then(
      (module) => {
        this.#module = module
        this.#heapBytesFirst = module.HEAPU8.length
        this.replaced += 1
        this.#replacement = undefined
      },
      () => {
        // Out of memory for now; the next failure tries again.
        this.#replacement = undefined
      },
    )
  }
}

async function instantiate(): Promise<PgQueryModule> {
  try {
    return await create()
  } catch (cause) {
    throw new SqlError('grammar_unavailable', 'the SQL grammar could not be loaded', { cause })
  }
}

function statementsOf(tree: TreeNode, textBytes: number): readonly RawStatement[] | undefined {
  const raw = tree.stmts
  if (raw === undefined) return []
  if (!Array.isArray(raw)) return undefined
  const statements: RawStatement[] = []
  for (const entry of raw as readonly Tree[]) {
    if (!isTree(entry)) return undefined
    const start = typeof entry.stmt_location === 'number' ? entry.stmt_location : 0
    const length = typeof entry.stmt_len === 'number' ? entry.stmt_len : textBytes - start
    if (!isTree(entry.stmt)) return undefined
    statements.push({ node: entry.stmt, start, end: start + length })
  }
  return statements
}

export function isTree(value: unknown): value is TreeNode {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
