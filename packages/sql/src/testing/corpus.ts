// Reads corpus/*.sql for the tests: blocks of `-- expect: effects…` and a text, parted by an empty line.
import { readdirSync, readFileSync } from 'node:fs'

export interface Block {
  readonly file: string
  readonly line: number
  readonly sql: string
  readonly effects: readonly string[]
  readonly privileged: boolean
  /** What the catalogue makes of it, as words: effects, and `privileged`. */
  readonly catalogue: readonly string[]
}

const folder = new URL('../../corpus/', import.meta.url)

export function corpus(): readonly Block[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.sql') && file !== 'fixture.sql' && file !== 'catalogue.sql')
    .flatMap(blocksOf)
}

/** What takes the target's catalogue to judge. */
export function catalogueBlocks(): readonly Block[] {
  return blocksOf('catalogue.sql')
}

export function fixture(): string {
  return readFileSync(new URL('fixture.sql', folder), 'utf8')
}

function blocksOf(file: string): readonly Block[] {
  const blocks: Block[] = []
  let line = 1
  for (const block of readFileSync(new URL(file, folder), 'utf8').split('\n\n')) {
    const [head = '', ...rest] = block.split('\n')
    const words = wordsOf('expect', head)
    if (words !== undefined) {
      const catalogue = wordsOf('catalogue', rest[0] ?? '')
      const effects = words.filter((word) => word !== 'privileged')
      blocks.push({
        file,
        line,
        sql: rest
          .slice(catalogue === undefined ? 0 : 1)
          .join('\n')
          .trimEnd(),
        effects,
        privileged: words.includes('privileged'),
        catalogue: catalogue ?? words,
      })
    }
    line += rest.length + 2
  }
  return blocks
}

function wordsOf(name: string, line: string): readonly string[] | undefined {
  return new RegExp(`^-- ${name}:(.*)$`).exec(line)?.[1]?.trim().split(/\s+/).filter(Boolean)
}
