// A long text's tree as the worker hands it over, for a lineage that may be asked for: nothing in it that lineage does not
// look at, least of all the thousands of constants that make a text long. Refuses to hand over what stays large.
import { isTree, type Tree, type TreeNode } from '../grammar.ts'
import { only } from '../walk.ts'

/** What is larger is lost: reading it would hold up everybody else on the main thread. */
const bytesMax = 262_144

/** Empty where it is too large, or nested deeper than this thread's stack goes. */
export function slimTree(statement: TreeNode): Uint8Array {
  try {
    const json = Buffer.from(JSON.stringify(slim(statement)))
    return json.length > bytesMax ? none : json
  } catch {
    return none
  }
}

const none = new Uint8Array()

/** undefined: it is lost. */
export function readSlimTree(tree: Uint8Array): TreeNode | undefined {
  if (tree.length === 0) return undefined
  const found: unknown = JSON.parse(Buffer.from(tree.buffer, tree.byteOffset, tree.length).toString())
  return isTree(found) ? found : undefined
}

function slim(tree: Tree | undefined): Tree | undefined {
  if (Array.isArray(tree)) return (tree as readonly Tree[]).map((item) => slim(item) ?? null)
  if (!isTree(tree)) return tree
  const fields: [string, Tree | undefined][] = []
  for (const field in tree) if (!places.test(field)) fields.push([field, slimField(field, tree[field])])
  return Object.fromEntries(fields)
}

function slimField(field: string, value: Tree | undefined): Tree | undefined {
  if (field === 'A_Const') return {}
  // Of constants it matters how many there are.
  if (field === 'elements' || field === 'rexpr') return slim(withoutConstants(value))
  return slim(field === 'valuesLists' ? fewRows(value) : value)
}

/** Of `x in (…)` and `array[…]`. */
function withoutConstants(value: Tree | undefined): Tree | undefined {
  if (Array.isArray(value)) {
    const others = (value as readonly Tree[]).filter((item) => !isConstant(item))
    const count = value.length - others.length
    return count === 0 ? value : [...others, { Constants: { count } }]
  }
  const items = only(value, 'List')?.items
  return items === undefined ? value : { List: { items: withoutConstants(items) } }
}

/** Rows of nothing but constants are all alike; that there are several matters. */
function fewRows(rows: Tree | undefined): Tree | undefined {
  if (!Array.isArray(rows)) return rows
  const isPlain = (row: Tree) =>
    (only(row, 'List')?.items as readonly Tree[] | undefined)?.every(isConstant) === true
  return (rows as readonly Tree[]).filter((row, at) => at < 2 || !isPlain(row))
}

function isConstant(item: Tree): boolean {
  const cast = only(item, 'TypeCast')
  if (cast !== undefined) return isConstant(cast.arg ?? null)
  return isTree(item) && ('A_Const' in item || 'ParamRef' in item || 'SetToDefault' in item)
}

/** Fields that say where in the text something stands. */
const places = /location$|^list_(start|end)$/
