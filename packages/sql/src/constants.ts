// What constants of SQL come to: casts, comparisons, a few functions. undefined wherever that is not certain, so that
// whoever asks takes it for unknown.

export type Constant = null | boolean | number | string

/** PostgreSQL's boolin: any unique beginning of these words. */
const booleans: readonly (readonly [RegExp, boolean])[] = [
  [/^\s*(t|tr|tru|true|y|ye|yes|on|1)\s*$/i, true],
  [/^\s*(f|fa|fal|fals|false|n|no|of|off|0)\s*$/i, false],
]

export function castOf(value: Constant, type: string): Constant | undefined {
  if (value === null) return null
  if (type === 'bool') {
    if (typeof value === 'boolean') return value
    if (typeof value === 'number') return value !== 0
    return booleans.find(([pattern]) => pattern.test(value))?.[1]
  }
  if (/^(int[248]|float[48]|numeric)$/.test(type)) {
    if (typeof value === 'boolean') return value ? 1 : 0
    const number =
      typeof value === 'number' ? value : /^\s*[-+]?\d+(\.\d+)?\s*$/.test(value) ? Number(value) : Number.NaN
    return Number.isFinite(number) ? (/^int/.test(type) ? Math.round(number) : number) : undefined
  }
  if (/^(text|varchar|bpchar|name)$/.test(type)) return String(value)
  return undefined
}

/** A string beside a number or truth value is read as one, as PostgreSQL does with an untyped literal. */
export function compare(operator: string, left: Constant, right: Constant): boolean | undefined {
  const [a, b] = alike(left, right)
  if (a === undefined || b === undefined || a === null || b === null) return undefined
  if (operator === '=') return a === b
  if (operator === '<>') return a !== b
  // How strings are ordered is the collation's business; equal ones are in every one.
  if (typeof a === 'string' && a !== b) return undefined
  if (operator === '<') return a < b
  if (operator === '>') return a > b
  if (operator === '<=') return a <= b
  return operator === '>=' ? a >= b : undefined
}

function alike(a: Constant, b: Constant): readonly (Constant | undefined)[] {
  if (typeof a === typeof b) return [a, b]
  for (const [type, name] of [
    ['number', 'numeric'],
    ['boolean', 'bool'],
  ] as const) {
    if (typeof a === type && typeof b === 'string') return [a, castOf(b, name)]
    if (typeof b === type && typeof a === 'string') return [castOf(a, name), b]
  }
  return [undefined, undefined]
}

/** Whether a pattern fits every string. */
export function likesEverything(operator: string, pattern: string): boolean {
  return operator.replace('!', '').startsWith('~~')
    ? /^%+$/.test(pattern)
    : /^(%+|\^?(\.\*|\(\.\*\)|\.\*\?|)\$?)$/.test(pattern)
}

/** undefined for any other function. */
export function foldCall(name: string, args: readonly Constant[]): Constant | undefined {
  if (name === 'concat') return args.map((argument) => argument ?? '').join('')
  const [first] = args
  if (args.length !== 1 || first === undefined) return undefined
  if (first === null) return null
  if (typeof first === 'number') return name === 'abs' ? Math.abs(first) : undefined
  return typeof first === 'string' ? strings[name]?.(first) : undefined
}

const strings: Readonly<Record<string, (value: string) => Constant>> = {
  length: (value) => [...value].length,
  char_length: (value) => [...value].length,
  character_length: (value) => [...value].length,
  octet_length: (value) => Buffer.byteLength(value),
  lower: (value) => value.toLowerCase(),
  upper: (value) => value.toUpperCase(),
  btrim: (value) => value.replace(/^ +| +$/g, ''),
}
