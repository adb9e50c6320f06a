// How the data of a COPY is laid out, from its options. Refuses to guess: an option that is not known here gives no layout.
import type { CopyLayout } from '@portcullis/kernel'
import type { TreeNode } from './grammar.ts'
import { list, node, text } from './walk.ts'

/** undefined: nobody here can read it. */
export function copyLayoutOf(copy: TreeNode): CopyLayout | undefined {
  const options = new Map<string, string>()
  for (const option of list(copy.options)) {
    const { defname, arg } = node(node(option).DefElem)
    options.set(text(defname), settingOf(node(arg)))
  }
  for (const name of options.keys()) if (!known.has(name)) return undefined
  const format = options.get('format') ?? 'text'
  if (format !== 'text' && format !== 'csv' && format !== 'binary') return undefined
  const quote = options.get('quote') ?? '"'
  return {
    format,
    delimiter: options.get('delimiter') ?? (format === 'csv' ? ',' : '\t'),
    null: options.get('null') ?? (format === 'csv' ? '' : '\\N'),
    quote,
    escape: options.get('escape') ?? quote,
    header: options.has('header') && !off.has(options.get('header') as string),
    encoding: options.get('encoding'),
    isOfTable: copy.query === undefined,
  }
}

/** Those of COPY FROM alone are refused by the server; `force_quote` shows in the data. */
const known = new Set(['format', 'delimiter', 'null', 'quote', 'escape', 'header', 'encoding', 'force_quote'])

/** As defGetBoolean takes it. An option without a value is on. */
const off = new Set(['false', 'off', '0'])

function settingOf(arg: TreeNode): string {
  if (arg.String) return text(node(arg.String).sval)
  if (arg.Boolean) return node(arg.Boolean).boolval === true ? 'true' : 'false'
  if (arg.Integer) return String(node(arg.Integer).ival ?? 0)
  return 'true'
}
