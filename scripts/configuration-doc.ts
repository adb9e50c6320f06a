/** Writes docs/configuration.md from the schema itself, or with --check says that it is no longer true to it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { configSchema } from '@portcullis/config'
import { z } from 'zod'
import { root } from './files.ts'

type Node = {
  type?: string
  enum?: readonly string[]
  description?: string
  default?: unknown
  pattern?: string
  format?: string
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  properties?: Record<string, Node>
  required?: readonly string[]
  items?: Node
  anyOf?: readonly Node[]
  additionalProperties?: boolean | Node
}

type Row = { key: string; type: string; fallback: string; description: string }

const file = join(root, 'docs/configuration.md')
const text = page(z.toJSONSchema(configSchema, { io: 'input' }) as Node)

if (!process.argv.includes('--check')) {
  writeFileSync(file, text)
} else if (readFileSync(file, 'utf8') !== text) {
  console.error('docs/configuration.md is not true to the schema: run node scripts/configuration-doc.ts')
  process.exitCode = 1
}

function page(schema: Node): string {
  const sections = Object.entries(schema.properties ?? {}).map(([name, node]) => {
    const rows = rowsOf(node, name, schema.required?.includes(name) ?? false)
    const table = rows.map(
      ({ key, type, fallback, description }) => `| \`${key}\` | ${type} | ${fallback} | ${description} |`,
    )
    return `## ${name}\n\n| key | value | default | meaning |\n|---|---|---|---|\n${table.join('\n')}\n`
  })
  return `# Configuration

<!-- Written by scripts/configuration-doc.ts from packages/config/src/schema.ts. Do not edit. -->

One YAML file for every service. An unknown key is an error; \`npm start -- --config FILE --validate\` prints every mistake
with its line, and warns of secrets and files that this machine does not have: a start here would fail for want of them.
Secrets never stand in the file: \`env:NAME\` or \`file:PATH\` says where each is, and for
the credentials of targets also Vault, AWS, Kubernetes and the control log ([secrets](secrets.md)). Relative paths are relative
to the file. \`[]\` stands for each item of a list, \`<name>\` for a name of your choosing. A complete small example is
[deploy/portcullis.yaml](../deploy/portcullis.yaml).

${sections.join('\n')}`
}

function rowsOf(node: Node, key: string, required: boolean): Row[] {
  const inner = childrenOf(node, key)
  const own = {
    key,
    type: typeOf(node),
    fallback: required ? '**required**' : defaultOf(node),
    description: cell(node.description ?? ''),
  }
  // A group without a word of its own is nothing but its keys, unless it must be there.
  return inner.length > 0 && !required && !node.description && !node.items && !node.additionalProperties
    ? inner
    : [own, ...inner]
}

function childrenOf(node: Node, key: string): Row[] {
  if (node.properties) {
    return Object.entries(node.properties).flatMap(([name, child]) =>
      rowsOf(child, `${key}.${name}`, node.required?.includes(name) ?? false),
    )
  }
  if (node.items?.properties) return childrenOf(node.items, `${key}[]`)
  const values = node.additionalProperties
  return typeof values === 'object' && values.properties ? childrenOf(values, `${key}.<name>`) : []
}

function typeOf(node: Node): string {
  if (node.enum) return node.enum.map((value) => `\`${value}\``).join(', ')
  if (node.anyOf) return [...new Set(node.anyOf.map(typeOf))].join(' or ')
  if (node.type === 'array') return `list of ${node.items?.properties ? 'objects' : typeOf(node.items ?? {})}`
  if (node.pattern?.startsWith('^(env:'))
    return node.pattern.includes('vault:') ? '[secret](secrets.md)' : 'secret'
  if (node.format === 'uri') return 'URL'
  if (node.format === 'path') return 'path'
  if (node.format === 'pem') return 'path or PEM'
  if (node.type === 'object') {
    const values = node.additionalProperties
    return typeof values === 'object' && !values.properties ? `object of ${typeOf(values)}` : 'object'
  }
  return `${node.type ?? 'any'}${range(node)}`
}

function range({ minimum, maximum, exclusiveMinimum }: Node): string {
  const parts = []
  if (exclusiveMinimum !== undefined) parts.push(`> ${exclusiveMinimum}`)
  if (minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER) parts.push(`>= ${minimum}`)
  if (maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER) parts.push(`<= ${maximum}`)
  return parts.length > 0 ? ` ${parts.join(', ')}` : ''
}

function defaultOf({ default: value }: Node): string {
  if (value === undefined) return ''
  const empty = typeof value === 'object' && value !== null && Object.keys(value).length === 0
  return empty ? '' : `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``
}

/** A bar would end the cell. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}
