/** The YAML text of a configuration: what it says, and on which line. */
import { type Document, isMap, isNode, LineCounter, parseDocument } from 'yaml'
import type { Problem } from './cross-checks.ts'
import { ConfigError } from './errors.ts'

export type Source = {
  readonly content: unknown
  /** One line a problem, `FILE:LINE:COLUMN: path: what is wrong`, in the order of the file. */
  lines(problems: readonly Problem[]): string[]
}

/** @throws ConfigError('invalid') where it is no YAML. */
export function readSource(text: string, file: string): Source {
  const counter = new LineCounter()
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false })
  const at = (offset: number) => {
    const { line, col } = counter.linePos(offset)
    return `${file}:${line}:${col}`
  }
  if (document.errors.length > 0) {
    throw new ConfigError(
      'invalid',
      document.errors.map((error) => `${at(error.pos[0])}: ${error.message}`),
    )
  }
  return {
    content: document.toJS() ?? {},
    lines(problems) {
      const placed = problems.map(({ path, message }) => {
        const offset = offsetOf(document, path)
        const key = path.map(String).join('.') || 'configuration'
        return { offset, line: `${at(offset)}: ${key}: ${message}` }
      })
      const sorted = placed.sort((a, b) => a.offset - b.offset)
      return [...new Set(sorted.map(({ line }) => line))]
    },
  }
}

/** Where the node at `path` stands, or its nearest parent that exists. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  for (let depth = path.length; depth > 0; depth--) {
    const parent = depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true)
    if (isMap(parent)) {
      const pair = parent.items.find(
        (item) => isNode(item.key) && String(item.key) === String(path[depth - 1]),
      )
      if (pair && isNode(pair.key) && pair.key.range) return pair.key.range[0]
    }
    const node = document.getIn(path.slice(0, depth), true)
    if (isNode(node) && node.range) return node.range[0]
  }
  return 0
}
