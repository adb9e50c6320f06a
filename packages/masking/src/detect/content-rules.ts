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
} from '@portcullis/kernel'
import { createDetect } from './detection.ts'

export interface ContentRule extends MaskForm, ContentSearch {
  readonly rule: string
}

/** `rules`: the strictest first. undefined where none of them looks for anything. */
export function contentMaskOf(rules: readonly ContentRule[]): ContentMask | undefined {
  const looking = rules.filter(({ detect, patterns }) => detect.length + Object.keys(patterns).length > 0)
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
  return {
    detect: createDetect({
      detect: looking.flatMap(({ detect }) => detect),
      patterns: Object.fromEntries(patterns),
    }),
    formOf: (kind) => forms.get(kind) ?? first,
    rule: first.rule,
  }
}

function kindsOf({ detect, patterns }: ContentSearch): readonly string[] {
  const kinds = detect.flatMap((word): readonly string[] => groups.get(word) ?? [word])
  return [...kinds, ...Object.keys(patterns)]
}

const groups: ReadonlyMap<string, readonly ContentKind[]> = new Map(Object.entries(contentGroups))
