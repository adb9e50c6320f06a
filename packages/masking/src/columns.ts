/** Which columns a rule means: `column`, `table.column` or `schema.table.column`, where `*` stands for any text. */
import type { ColumnRef } from '@portcullis/kernel'

/** Names are as the target's catalogue spells them. What a name leaves out may be anything. */
export function columnsOf(patterns: readonly string[]): (column: ColumnRef) => boolean {
  const tests = patterns.map((pattern) => {
    const parts = pattern.split('.').map(named)
    const column = parts.pop()
    const table = parts.pop()
    const schema = parts.pop()
    return { schema, table, column }
  })
  return ({ schema, table, column, kin }) =>
    tests.some(
      (test) =>
        test.column?.(column) &&
        [{ schema, table }, ...(kin ?? [])].some(
          (of) => (test.table?.(of.table) ?? true) && (test.schema?.(of.schema) ?? true),
        ),
    )
}

function named(pattern: string): (name: string) => boolean {
  if (!pattern.includes('*')) return (name) => name === pattern
  const parts = pattern.split('*').map((part) => RegExp.escape(part))
  const test = new RegExp(`^${parts.join('.*')}$`, 's')
  return (name) => test.test(name)
}
