/**
 * Reads the fields of a control event's payload, by hand since kernel has no dependencies. What is wrong goes to
 * `problems`, with its place, and a stand-in is returned, so that every problem is named at once. It refuses to repair;
 * fields it is not asked for are let go, so that a newer writer and an older reader agree on the rest.
 */
export type Fields = Readonly<Record<string, unknown>>

export const idCharsMax = 1024
export const textCharsMax = 4000

export interface FieldReader {
  /** Whether it is there: of fields that older writers do not know. */
  has(name: string): boolean
  text(name: string, charsMin: number, charsMax: number): string
  /** At most `countMax` strings of 1 to `charsMax` characters. */
  texts(name: string, countMax: number, charsMax: number): readonly string[]
  oneOf<T extends string>(name: string, choices: readonly [T, ...T[]]): T
  /** Microseconds since 1970 UTC. */
  micros(name: string): number
  amount(name: string): number
  flag(name: string): boolean
  object(name: string): Fields
  problem(name: string, what: string): void
}

export function fieldReader(fields: Fields, path: string, problems: string[]): FieldReader {
  const problem = (name: string, what: string): void => {
    problems.push(`${path}${name} must be ${what}`)
  }
  return {
    problem,
    has: (name) => fields[name] !== undefined,
    text(name, charsMin, charsMax) {
      const value = fields[name]
      if (typeof value === 'string' && value.length >= charsMin && value.length <= charsMax) return value
      problem(name, `a string of ${charsMin} to ${charsMax} characters`)
      return ''
    },
    texts(name, countMax, charsMax) {
      const value = fields[name]
      const fits = (one: unknown): one is string =>
        typeof one === 'string' && one.length > 0 && one.length <= charsMax
      if (Array.isArray(value) && value.length <= countMax && value.every(fits)) return value
      problem(name, `a list of at most ${countMax} strings of 1 to ${charsMax} characters`)
      return []
    },
    oneOf(name, choices) {
      const found = choices.find((choice) => choice === fields[name])
      if (found === undefined) problem(name, `one of ${choices.join(', ')}`)
      return found ?? choices[0]
    },
    micros(name) {
      const value = fields[name]
      if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value
      problem(name, 'microseconds since 1970 UTC, a whole number')
      return 0
    },
    amount(name) {
      const value = fields[name]
      if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value
      problem(name, 'a number of at least 0')
      return 0
    },
    flag(name) {
      if (typeof fields[name] === 'boolean') return fields[name]
      problem(name, 'true or false')
      return false
    },
    object(name) {
      const value = fields[name]
      if (isFields(value)) return value
      problem(name, 'an object')
      return {}
    },
  }
}

export function parseFields(text: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isFields(value) ? value : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
