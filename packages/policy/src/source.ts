/** The YAML text of a policy: what it says, and on which line. */
import { type Document, isMap, isNode, LineCounter, parseDocument } from 'yaml'
import { PolicyError } from './errors.ts'

export interface Problem {
  readonly path: readonly PropertyKey[]
  readonly message: string
}

export interface Source {
  readonly content: unknown
  /** One line a problem, in the order of the file. */
  lines(problems: readonly Problem[]): string[]
}

/** @throws PolicyError where it is no YAML. */
export function readSource(text: string, file: string): Source {
  const counter = new LineCounter()
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false })
  const at = (offset: number) => {
    const { line, col } = counter.linePos(offset)
    return `${file}:${line}:${col}`
  }
  if (document.errors.length > 0)
    throw new PolicyError(document.errors.map((error) => `${at(error.pos[0])}: ${error.message}`))
  return {
    content: document.toJS() ?? {},
    lines(problems) {
      const placed = problems.map(({ path, message }) => {
        const offset = offsetOf(document, path)
        return { offset, line: `${at(offset)}: ${path.map(String).join('.') || 'policy'}: ${message}` }
      })
      return [...new Set(placed.sort((a, b) => a.offset - b.offset).map(({ line }) => line))]
    },
  }
}

/** Where the node at `path` stands, or its nearest parent that exists. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  for (let depth = path.length; depth > 0; depth--) {
    const parent = depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true)
    const key = String(path[depth - 1])
    const pair = isMap(parent)
      ? parent.items.find((item) => isNode(item.key) && String(item.key) === key)
      : undefined
    if (pair && isNode(pair.key) && pair.key.range) return pair.key.range[0]
    const node = document.getIn(path.slice(0, depth), true)
    if (isNode(node) && node.range) return node.range[0]
  }
  return 0
}
