/**
 * Several rules that mask by content -> one look at each value. Refuses to mask a find twice: of several rules for one kind the
 * strictest holds, whatever their order.
 */
import {
  type ContentKind,
  type ContentMask,
  type ContentSearch,
  contentGroups,
  type MaskForm,
  type RemoteFinds,
} from '@portcullis/kernel'
import { createDetect } from './detection.ts'

export interface ContentRule extends MaskForm, ContentSearch {
  readonly rule: string
  /** Entities that Presidio is asked for. */
  readonly presidio: readonly string[]
}

/** `rules`: the strictest first. undefined where none of them looks for anything. */
export function contentMaskOf(
  rules: readonly ContentRule[],
  presidio?: (entities: readonly string[]) => RemoteFinds,
): ContentMask | undefined {
  const looking = rules.filter((rule) => kindsOf(rule).length > 0)
  const [first] = looking
  if (first === undefined) return undefined
  const forms = new Map<string, MaskForm>()
  const patterns = new Map<string, string>()
  for (const rule of looking) {
    for (const kind of kindsOf(rule)) if (!forms.has(kind)) forms.set(kind, rule)
    for (const [name, regex] of Object.entries(rule.patterns)) {
      const other = patterns.get(name)
      patterns.set(name, other === undefined || other === regex ? regex : `(?:${other})|(?:${regex})`)
    }
  }
  const entities = [...new Set(looking.flatMap((rule) => rule.presidio))]
  return {
    detect: createDetect({
      detect: looking.flatMap(({ detect }) => detect),
      patterns: Object.fromEntries(patterns),
    }),
    formOf: (kind) => forms.get(kind) ?? first,
    rule: first.rule,
    remote: entities.length > 0 ? presidio?.(entities) : undefined,
  }
}

function kindsOf({ detect, patterns, presidio }: ContentRule): readonly string[] {
  const kinds = detect.flatMap((word): readonly string[] => groups.get(word) ?? [word])
  const entities = presidio.map((entity) => entity.toLowerCase().replaceAll('_', '-'))
  return [...kinds, ...Object.keys(patterns), ...entities]
}

const groups: ReadonlyMap<string, readonly ContentKind[]> = new Map(Object.entries(contentGroups))
