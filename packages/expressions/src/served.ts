/** Which expressions are served: their size and the functions they may call; what is not is a mistake of who wrote it. */
import { CodedError } from '@portcullis/kernel'

export type ExpressionErrorCode =
  /** The text is no expression that is served: its syntax, its types, its size or a function. A mistake of who wrote it. */
  | 'not_served'
  /** A value that it reads is not there. */
  | 'missing'
  /** A value that it reads is not of the type, size or form it must be. */
  | 'unfit'

export class ExpressionError extends CodedError<ExpressionErrorCode> {}

export const charsMax = 2000

/** Of one expression, as the library knows them. */
export const limits = {
  maxAstNodes: 100,
  maxDepth: 32,
  maxListElements: 64,
  maxMapEntries: 16,
  maxCallArguments: 4,
}

const comprehensions = new Set(['all', 'exists', 'exists_one', 'map', 'filter'])
const functions = new Set([
  ...['has', 'size', 'string', 'int', 'uint', 'double', 'bool', 'dyn', 'type'],
  ...['startsWith', 'endsWith', 'contains', 'lowerAscii', 'upperAscii', 'trim'],
  ...['indexOf', 'lastIndexOf', 'substring'],
])

/** Walks whatever the parser made; what it calls must be on the list. */
export function requireServed(node: unknown, inComprehension: boolean): void {
  if (Array.isArray(node)) for (const inner of node) requireServed(inner, inComprehension)
  if (!isNode(node)) return
  const { op, args } = node
  const called = (op === 'call' || op === 'rcall') && Array.isArray(args) ? String(args[0]) : undefined
  if (called === undefined) return requireServed(args, inComprehension)
  if (called === 'matches')
    throw notServed('calls matches, which is not served: use ==, startsWith, endsWith, contains or in')
  if (!comprehensions.has(called)) {
    if (!functions.has(called)) throw notServed(`calls ${called}, which is not served`)
    return requireServed(args, inComprehension)
  }
  if (inComprehension) throw notServed(`has ${called} inside of another comprehension`)
  const [, receiver, inner] = args as readonly unknown[]
  requireServed(receiver, inComprehension)
  requireServed(inner, true)
}

function isNode(node: unknown): node is { op: string; args: unknown } {
  return typeof node === 'object' && node !== null && 'op' in node && 'args' in node
}

export function served<T>(parse: () => T): T {
  try {
    return parse()
  } catch (cause) {
    throw notServed(whyOf(cause), cause)
  }
}

export function whyOf(error: unknown): string {
  const { summary, range } = error as { summary?: unknown; range?: { start?: unknown } }
  if (typeof summary !== 'string') return error instanceof Error ? error.message : String(error)
  return typeof range?.start === 'number' ? `${summary} (at character ${range.start + 1})` : summary
}

export function notServed(why: string, cause?: unknown): ExpressionError {
  return new ExpressionError('not_served', why, { cause })
}
