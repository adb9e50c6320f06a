/**
 * What a plan comes to for one result, once the server has described it: two sources that know nothing of each other, what
 * the text was read as and what RowDescription says of each column, must both say that a column may be shown. Refuses a
 * result of which there is more than the plan has an answer for.
 */
import type { ColumnMask, ColumnRef, ContentMask, CopyLayout, MaskPlan } from '@portcullis/kernel'
import {
  contentForm,
  createCopyMasker,
  createRowMasker,
  formOf,
  type Keyed,
  type MaskedColumn,
  type ResultMasker,
} from '@portcullis/masking'
import { type ColumnType, encodingIsAsciiSafe } from '@portcullis/sql'
import { ServerViolation } from './answer-rules.ts'
import { headerBytes } from './wire.ts'

/** One column of a RowDescription. */
export interface Field {
  readonly name: string
  /** Numbers of the table and column that it is read from; 0 where it is none. */
  readonly table: number
  readonly attribute: number
  readonly type: number
  readonly modifier: number
  readonly format: 0 | 1
}

/** What a portal returns, once the server has said so. */
export interface Shape {
  fields: readonly Field[] | undefined
}

/** undefined: all of it is shown. 'unmaskable': it has a column that the plan has no answer for, or cannot be read. */
export type ResultMasks = ResultMasker | 'unmaskable' | undefined

export interface MaskingDeps {
  /** Absent where no key is configured. */
  readonly keyed: Keyed | undefined
  /** The column behind the numbers that RowDescription gives, where the catalogue has it. */
  readonly columnAt: (table: number, attribute: number) => ColumnRef | undefined
  /** The type of a stored column, where the catalogue has it. */
  readonly typeOf: (column: ColumnRef) => ColumnType | undefined
  /** No character of the client's encoding has a byte that is another in ASCII. */
  readonly isAsciiSafe: () => boolean
}

/** Of rows. */
export function rowMasks(
  plan: MaskPlan,
  fields: readonly Field[],
  { keyed, columnAt }: MaskingDeps,
): ResultMasks {
  const masks = masksOf(plan, fields.length)
  if (masks === undefined) return 'unmaskable'
  const columns = fields.map(
    (field, at) =>
      masked(masks[at] ?? asStored(plan, field, columnAt), field, keyed) ??
      (plan.content && searched(plan.content, field, keyed, columnAt)),
  )
  return columns.some((column) => column !== undefined) ? createRowMasker(columns) : undefined
}

/** Of a COPY whose answer has so many columns. */
export function copyMasks(
  plan: MaskPlan,
  count: number,
  layout: CopyLayout | undefined,
  { keyed, columnAt, typeOf, isAsciiSafe }: MaskingDeps,
): ResultMasks {
  const masks = masksOf(plan, count)
  if (!plan.content && masks?.every((mask) => mask === undefined)) return undefined
  // What another service finds is asked for by the types of values, which COPY does not say.
  if (masks === undefined || layout === undefined || plan.content?.remote) return 'unmaskable'
  const isBinary = layout.format === 'binary'
  const isReadable = layout.encoding === undefined ? isAsciiSafe() : encodingIsAsciiSafe(layout.encoding)
  if (!isBinary && !isReadable) return 'unmaskable'
  const columns = masks.map((mask, at) => {
    // Where the type is not sure a value is NULL, which is one of every type.
    const isTyped = mask?.source !== undefined && (layout.isOfTable || !isBinary)
    const type = (isTyped ? typeOf(mask.source) : undefined) ?? untyped
    const field: Field = { name: `${at + 1}`, ...type, format: isBinary ? 1 : 0, table: 0, attribute: 0 }
    return masked(mask, field, keyed) ?? (plan.content && searched(plan.content, field, keyed, columnAt))
  })
  return createCopyMasker(layout, columns)
}

const untyped: ColumnType = { type: 0, modifier: -1 }

/** undefined: there are columns that the plan has no answer for. */
function masksOf(plan: MaskPlan, count: number): (ColumnMask | undefined)[] | undefined {
  const { columns, others } = plan
  if (count <= columns.length) return columns.slice(0, count)
  if (others === 'refuse') return undefined
  return [...columns, ...Array.from({ length: count - columns.length }, () => others)]
}

function masked(
  mask: ColumnMask | undefined,
  { name, type, modifier, format }: Field,
  keyed: Keyed | undefined,
): MaskedColumn | undefined {
  if (!mask) return undefined
  const form = formOf({ type, modifier, format }, mask, keyed)
  return { form, mask: mask.column === '' ? { ...mask, column: `?.${name}` } : mask, values: 0 }
}

const jsonb = 3802
/** Types whose values another service is asked for: text and its kin, json, jsonb. */
const texts: ReadonlySet<number> = new Set([25, 1043, 1042, 18, 19, 705, 114, jsonb])

/** A column that is shown but for what is found in its values; undefined where it holds no text. */
function searched(
  content: ContentMask,
  { name, table, attribute, type, modifier, format }: Field,
  keyed: Keyed | undefined,
  columnAt: MaskingDeps['columnAt'],
): MaskedColumn | undefined {
  const finds = new Map<string, number>()
  const found = (kind: string) => void finds.set(kind, (finds.get(kind) ?? 0) + 1)
  const form = contentForm({ type, modifier, format }, content, keyed, found)
  const stored = table === 0 ? undefined : columnAt(table, attribute)
  const column = stored ? `${stored.schema}.${stored.table}.${stored.column}` : `?.${name}`
  const isText = texts.has(type)
  return (
    form && {
      ...{ form, values: 0, finds },
      mask: { method: 'redact', keep: 0, rule: content.rule, column },
      asks:
        content.remote && isText ? { remote: content.remote, skip: type === jsonb ? format : 0 } : undefined,
    }
  )
}

function asStored(
  plan: MaskPlan,
  { table, attribute }: Field,
  columnAt: MaskingDeps['columnAt'],
): ColumnMask | undefined {
  const column = table === 0 ? undefined : columnAt(table, attribute)
  return column && plan.of(column)
}

/** A whole RowDescription. */
export function readRowDescription(message: Buffer): readonly Field[] {
  const fields: Field[] = []
  const count = message.readInt16BE(headerBytes)
  let at = headerBytes + 2
  for (let index = 0; index < count; index++) {
    const nameEnd = message.indexOf(0, at)
    if (nameEnd < 0 || nameEnd + 19 > message.length)
      throw new ServerViolation('a RowDescription that ends too early')
    fields.push({
      name: message.toString('utf8', at, nameEnd),
      table: message.readUInt32BE(nameEnd + 1),
      attribute: message.readInt16BE(nameEnd + 5),
      type: message.readUInt32BE(nameEnd + 7),
      modifier: message.readInt32BE(nameEnd + 13),
      format: message.readInt16BE(nameEnd + 17) === 1 ? 1 : 0,
    })
    at = nameEnd + 19
  }
  return fields
}
