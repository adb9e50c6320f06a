/** Where a configuration names files and secrets, as its schema says: a key that is added there is found here by itself. */
import { z } from 'zod'
import { pathFormat, pemFormat, secretPattern, targetSecretPattern } from './forms.ts'
import { isPem } from './pem.ts'
import { type Config, configSchema } from './schema.ts'

export type Place = {
  readonly path: readonly string[]
  readonly kind: 'file' | 'secret'
  readonly value: string
  replace(value: string): void
}

type Shape = {
  readonly format?: string
  readonly pattern?: string
  readonly anyOf?: readonly Shape[]
  readonly properties?: Readonly<Record<string, Shape>>
  readonly items?: Shape
  readonly additionalProperties?: Shape | boolean
}

export function placesIn(config: Config): Place[] {
  return placesOf(configSchema, config)
}

/** `value` is what `schema` made. */
export function placesOf(schema: z.ZodType, value: object): Place[] {
  // What is made of other values (the number of workers) is neither a file nor a secret.
  return visit(z.toJSONSchema(schema, { io: 'output', unrepresentable: 'any' }) as Shape, value, [])
}

function visit(shape: Shape, value: object, path: readonly string[]): Place[] {
  return Object.entries(value).flatMap(([key, inner]: [string, unknown]) => {
    const inside = shape.properties?.[key] ?? shape.items ?? shape.additionalProperties
    if (typeof inside !== 'object') return []
    const at = [...path, key]
    if (typeof inner === 'object' && inner !== null) return visit(inside, inner, at)
    const kind = typeof inner === 'string' && kindOf(inside, inner)
    if (!kind) return []
    return [{ path: at, kind, value: inner, replace: (other) => void Object.assign(value, { [key]: other }) }]
  })
}

/** Where a plain value may stand too, only a reference is one. */
function kindOf(shape: Shape, text: string): Place['kind'] | undefined {
  if (shape.format === pathFormat) return 'file'
  if (shape.format === pemFormat) return isPem(text) ? undefined : 'file'
  const forms = shape.anyOf ?? [shape]
  const mayRefer = forms.some(
    ({ pattern }) => pattern === secretPattern.source || pattern === targetSecretPattern.source,
  )
  // What another machine keeps is no place of this one.
  return mayRefer && secretPattern.test(text) ? 'secret' : undefined
}
