/**
 * Writes packages/kernel/src/events.gen.ts from schemas/avro/*.avsc. With --check it only compares, and exits 1 where
 * the file on disk is not what the schemas say.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

type Schema =
  | string
  | Schema[]
  | Named
  | { type: 'array'; items: Schema }
  | { type: 'map'; values: Schema }
  | Logical
type Field = { name: string; type: Schema; doc?: string }
type Named =
  | { type: 'record'; name: string; doc?: string; fields: Field[] }
  | { type: 'enum'; name: string; doc?: string; symbols: string[] }
type Logical = { type: 'long'; logicalType: string }

const here = import.meta.dirname
const outFile = join(here, '../packages/kernel/src/events.gen.ts')

const primitives: Record<string, string> = {
  null: 'null',
  string: 'string',
  boolean: 'boolean',
  int: 'number',
  long: 'number',
  double: 'number',
  bytes: 'Uint8Array',
}

function main(): void {
  const generated = generate()
  if (!process.argv.includes('--check')) {
    writeFileSync(outFile, generated)
    return
  }
  if (readFileSync(outFile, 'utf8') === generated) return
  console.error(
    'packages/kernel/src/events.gen.ts is not what schemas/avro says: run `npm run generate` and commit it',
  )
  process.exitCode = 1
}

function generate(): string {
  const out: string[] = ['// Generated from schemas/avro by schemas/generate.ts. Do not edit.', '']
  for (const schema of readSchemas()) declare(schema, out)
  return out.join('\n')
}

/** The common types first, then each event in the order of the file names. */
function readSchemas(): Schema[] {
  const dir = join(here, 'avro')
  const files = readdirSync(dir).filter((name) => name.endsWith('.avsc') && name !== 'common.avsc')
  return ['common.avsc', ...files.sort()].flatMap(
    (name) => JSON.parse(readFileSync(join(dir, name), 'utf8')) as Schema,
  )
}

/** Declares a named type and every named type inside it; returns the TypeScript expression that refers to it. */
function declare(schema: Schema, out: string[]): string {
  if (typeof schema === 'string') return primitives[schema] ?? schema.split('.').at(-1) ?? schema
  if (Array.isArray(schema)) return schema.map((branch) => declare(branch, out)).join(' | ')
  if (schema.type === 'array') return `readonly ${declare(schema.items, out)}[]`
  if (schema.type === 'map') return `Readonly<Record<string, ${declare(schema.values, out)}>>`
  if (schema.type === 'long') return 'number'
  if (schema.type === 'enum') {
    const union = schema.symbols.map((symbol) => `'${symbol}'`).join(' | ')
    out.push(...doc(schema.doc, ''), `export type ${schema.name} = ${union}`, '')
    return schema.name
  }
  const fields = schema.fields.flatMap((field) => [
    ...doc(field.doc, '  '),
    `  readonly ${field.name}: ${declare(field.type, out)}`,
  ])
  out.push(...doc(schema.doc, ''), `export interface ${schema.name} {`, ...fields, '}', '')
  return schema.name
}

function doc(text: string | undefined, indent: string): string[] {
  return text ? [`${indent}/** ${text} */`] : []
}

main()
