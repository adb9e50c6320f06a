/**
 * PostgreSQL's types as masking sees them: what is shown of a value must be one of its type, in its format. Types made in
 * a database (enums, composites, extensions') have numbers of their own there and are of no kind: such a value is NULL.
 *
 * Source: pg_type.dat; the text and binary forms are those of each type's output and send function.
 */

export type Kind =
  | 'text'
  | 'bpchar'
  | 'json'
  | 'jsonb'
  | 'int2'
  | 'int4'
  | 'int8'
  | 'oid'
  | 'numeric'
  | 'float4'
  | 'float8'
  | 'uuid'
  | 'bytea'
  | 'bool'
  | 'date'
  | 'time'
  | 'timetz'
  | 'timestamp'
  | 'timestamptz'
  | 'interval'
  | 'inet'
  | 'cidr'
  | 'macaddr'
  | 'array'

/** 0: text, 1: binary. */
export type Format = 0 | 1

/** A result column's type as RowDescription has it. */
export interface TypeOf {
  /** Number of the type; 0 where it is not known. */
  readonly type: number
  /** Its modifier, -1 for none. */
  readonly modifier: number
  readonly format: Format
}

export interface KindOf {
  readonly kind: Kind
  /** Characters at most, of a text. */
  readonly charsMax: number
  /** Of an array: the number of its elements' type. */
  readonly element: number
}

/** undefined: of no kind that a value could be made up for. */
export function kindOf({ type, modifier }: Pick<TypeOf, 'type' | 'modifier'>): KindOf | undefined {
  const element = elements.get(type)
  if (element !== undefined) return { kind: 'array', charsMax: Infinity, element }
  const kind = kinds.get(type)
  return kind && { kind, charsMax: charsMaxOf(type, modifier), element: 0 }
}

function charsMaxOf(type: number, modifier: number): number {
  if (type === char) return 1
  if (type === name) return 63
  // varchar(n) and char(n): n and the four bytes of a header.
  return (type === varchar || type === bpchar) && modifier > 4 ? modifier - 4 : Infinity
}

const char = 18
const name = 19
const bpchar = 1042
const varchar = 1043

const kinds: ReadonlyMap<number, Kind> = new Map([
  [25, 'text'],
  [varchar, 'text'],
  [name, 'text'],
  [char, 'text'],
  [705, 'text'], // unknown
  [142, 'text'], // xml: a text node is content
  [bpchar, 'bpchar'],
  [114, 'json'],
  [3802, 'jsonb'],
  [21, 'int2'],
  [23, 'int4'],
  [20, 'int8'],
  [26, 'oid'],
  [1700, 'numeric'],
  [700, 'float4'],
  [701, 'float8'],
  [2950, 'uuid'],
  [17, 'bytea'],
  [16, 'bool'],
  [1082, 'date'],
  [1083, 'time'],
  [1266, 'timetz'],
  [1114, 'timestamp'],
  [1184, 'timestamptz'],
  [1186, 'interval'],
  [869, 'inet'],
  [650, 'cidr'],
  [829, 'macaddr'],
])

/** Arrays by their elements: _text and so on. */
const elements: ReadonlyMap<number, number> = new Map([
  [1009, 25],
  [1015, varchar],
  [1003, name],
  [1002, char],
  [143, 142],
  [1014, bpchar],
  [199, 114],
  [3807, 3802],
  [1005, 21],
  [1007, 23],
  [1016, 20],
  [1028, 26],
  [1231, 1700],
  [1021, 700],
  [1022, 701],
  [2951, 2950],
  [1001, 17],
  [1000, 16],
  [1182, 1082],
  [1183, 1083],
  [1270, 1266],
  [1115, 1114],
  [1185, 1184],
  [1187, 1186],
  [1041, 869],
  [651, 650],
  [1040, 829],
])
