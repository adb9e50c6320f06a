/**
 * Conditions over what the gate itself knows, of declared types: a misspelt name or a comparison that cannot be is an error
 * when it is compiled. Three answers: true, false, and undefined where it needs something that is not known. `a || b` is true
 * where either is, and `a && b` false where either is, whatever becomes of the other (CEL, "Logical operators"); nothing
 * else gets over what is not known. Refuses what `compileExpression` refuses.
 */
import { Environment } from '@marcbachmann/cel-js'
import { charsMax, limits, notServed, requireServed, served, whyOf } from './served.ts'

/** Variables by name, each with the CEL types of its fields: `bool`, `int`, `string`, `list<string>`, `map<string, string>`. */
export type ConditionSchema = Readonly<Record<string, Readonly<Record<string, string>>>>

/** Fields that are not known are left out. `int` is a BigInt. */
export type ConditionInput = Readonly<Record<string, Readonly<Record<string, unknown>>>>

export interface Condition {
  /** As it was written. */
  readonly text: string
  /** `VARIABLE.FIELD`, each once, in alphabetical order. */
  readonly reads: readonly string[]
  evaluate(input: ConditionInput): boolean | undefined
}

/** Throws ExpressionError('not_served') that says what is wrong and where. */
export function compileCondition(text: string, schema: ConditionSchema): Condition {
  const typed = new Environment({ homogeneousAggregateLiterals: false, limits })
  const plain = new Environment({ homogeneousAggregateLiterals: false, limits })
  for (const [name, fields] of Object.entries(schema)) {
    typed.registerVariable({ name, schema: fields })
    // By declared types each evaluation would copy what it is given.
    plain.registerVariable(name, 'map<string, dyn>')
  }
  const declared = served(() => typed.parse(checkedLength(text)))
  requireServed(declared.ast, false)
  const checked = declared.check()
  if (!checked.valid) throw notServed(whyOf(checked.error), checked.error)
  if (checked.type !== 'bool') throw notServed(`gives ${checked.type}, where true or false is needed`)
  const compiled = served(() => plain.parse(text))
  return {
    text,
    reads: [...readsOf(compiled.ast, schema)].sort(),
    evaluate(input) {
      try {
        const value: unknown = compiled(input)
        return typeof value === 'boolean' ? value : undefined
      } catch {
        return undefined
      }
    },
  }
}

function checkedLength(text: string): string {
  if (text.length > charsMax) throw notServed(`is longer than ${charsMax} characters`)
  return text
}

interface Part {
  readonly op?: string
  readonly args?: unknown
}

function readsOf(node: unknown, schema: ConditionSchema, found = new Set<string>()): Set<string> {
  if (Array.isArray(node)) for (const inner of node) readsOf(inner, schema, found)
  if (typeof node !== 'object' || node === null || !('op' in node) || !('args' in node)) return found
  const { op, args } = node as { op: string; args: unknown }
  if ((op === '.' || op === '[]') && Array.isArray(args)) {
    const [of, field] = args as unknown as readonly [Part, string | Part]
    const variable = of?.op === 'id' ? String(of.args) : ''
    const name = typeof field === 'string' ? field : String(field?.args)
    if (schema[variable] !== undefined) found.add(`${variable}.${name}`)
  }
  return readsOf(args, schema, found)
}
