/** A policy file -> rules, or every mistake in it with its line. Nothing of a file with a mistake is taken. */
import { type Condition, compileCondition, ExpressionError } from '@portcullis/expressions'
import type { z } from 'zod'
import { attributes } from './attributes.ts'
import { PolicyError } from './errors.ts'
import { libraryNames, libraryText } from './library.ts'
import { entrySchemas, type Example, fileSchema, type Rule, type Used } from './schema.ts'
import { type Problem, readSource } from './source.ts'

/** A rule as it stands, its condition compiled. */
export interface ParsedRule extends Rule {
  readonly condition?: Condition
  /** Place in the file's list; several rules of one library file share it. */
  readonly entry: number
}

export interface ParsedPolicy {
  readonly rules: readonly ParsedRule[]
  readonly examples: readonly Example[]
  /** For what is found wrong with the rules later on. */
  lines(problems: readonly Problem[]): string[]
}

/** @throws PolicyError with every mistake. */
export function parsePolicy(text: string, file: string): ParsedPolicy {
  const source = readSource(text, file)
  const problems: Problem[] = []
  const parsed = fileSchema.safeParse(source.content)
  problems.push(...problemsOf(parsed.error?.issues ?? []))
  const entries = listOf(source.content, 'rules')
  const rules = entries.flatMap((entry, index) => rulesOf(entry, index, problems))
  problems.push(...repeated([...rules, ...wrongly(entries, rules)]))
  if (problems.length > 0 || !parsed.success) throw new PolicyError(source.lines(problems))
  return { rules, examples: parsed.data.examples, lines: (later) => source.lines(later) }
}

function rulesOf(entry: unknown, index: number, problems: Problem[]): ParsedRule[] {
  const isUse = typeof entry === 'object' && entry !== null && 'use' in entry
  const path = ['rules', index]
  const result = isUse ? entrySchemas.used.safeParse(entry) : entrySchemas.rule.safeParse(entry)
  problems.push(...problemsOf(result.error?.issues ?? [], path))
  // What is wrong with a condition is told also where something else of the rule is wrong.
  if (!result.success) {
    const when = typeof entry === 'object' && entry !== null && 'when' in entry ? entry.when : undefined
    if (typeof when === 'string') compiled(when, [...path, 'when'], problems)
    return []
  }
  if ('use' in result.data) return usedRules(result.data, index, problems)
  return [withCondition(result.data, index, problems)]
}

function usedRules({ use, ...changes }: Used, entry: number, problems: Problem[]): ParsedRule[] {
  const text = libraryText(use)
  if (text === undefined) {
    const message = `is not in the library, which has ${libraryNames().join(', ')}`
    problems.push({ path: ['rules', entry, 'use'], message })
    return []
  }
  const { rules } = parsePolicy(text, `library/${use}.yaml`)
  if (changes.name !== undefined && rules.length > 1) {
    const message = `${use} has several rules, which keep their names`
    problems.push({ path: ['rules', entry, 'name'], message })
  }
  const given = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined))
  return rules.map((rule) => ({
    ...rule,
    ...given,
    ...(rule.match && { match: { ...rule.match, ...changes.match } }),
    entry,
  }))
}

function withCondition(rule: Rule, entry: number, problems: Problem[]): ParsedRule {
  const condition =
    rule.when === undefined ? undefined : compiled(rule.when, ['rules', entry, 'when'], problems)
  return { ...rule, entry, ...(condition && { condition }) }
}

function compiled(when: string, path: Problem['path'], problems: Problem[]): Condition | undefined {
  try {
    return compileCondition(when, attributes)
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error
    problems.push({ path, message: error.message })
    return undefined
  }
}

type Named = Pick<ParsedRule, 'name' | 'entry'>

/** The names of those that are wrong otherwise count too. */
function wrongly(entries: readonly unknown[], rules: readonly Named[]): Named[] {
  const right = new Set(rules.map(({ entry }) => entry))
  return entries.flatMap((given, entry) =>
    !right.has(entry) && typeof given === 'object' && given !== null && 'name' in given
      ? [{ name: String(given.name), entry }]
      : [],
  )
}

function repeated(named: readonly Named[]): Problem[] {
  const first = new Map<string, number>()
  return named
    .toSorted((a, b) => a.entry - b.entry)
    .flatMap(({ name, entry }) => {
      const before = first.get(name)
      first.set(name, before ?? entry)
      return before === undefined
        ? []
        : [{ path: ['rules', entry], message: `there is another rule with the name ${name}` }]
    })
}

function listOf(content: unknown, key: string): readonly unknown[] {
  const value =
    typeof content === 'object' && content !== null ? (content as Record<string, unknown>)[key] : undefined
  return Array.isArray(value) ? value : []
}

function problemsOf(issues: readonly z.core.$ZodIssue[], prefix: readonly PropertyKey[] = []): Problem[] {
  return issues.flatMap((issue) => {
    const path = [...prefix, ...issue.path]
    const branch = issue.code === 'invalid_union' ? issue.errors[0] : undefined
    if (branch) return problemsOf(branch, path)
    if (issue.code === 'invalid_key') return problemsOf(issue.issues, path)
    if (issue.code !== 'unrecognized_keys') return [{ path, message: issue.message }]
    return issue.keys.map((key) => ({ path: [...path, key], message: 'unknown key' }))
  })
}
