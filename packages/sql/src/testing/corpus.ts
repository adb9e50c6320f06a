// Reads corpus/*.sql for the tests: blocks of `-- expect: effects…` and a text, parted by an empty line.
import { readdirSync, readFileSync } from 'node:fs'

export interface Block {
  readonly file: string
  readonly line: number
  readonly sql: string
  readonly effects: readonly string[]
  readonly privileged: boolean
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
    const words = /^-- expect:(.*)$/.exec(head)?.[1]?.trim().split(/\s+/).filter(Boolean)
    if (words !== undefined) {
      const effects = words.filter((word) => word !== 'privileged')
      blocks.push({
        file,
        line,
        sql: rest.join('\n').trimEnd(),
        effects,
        privileged: words.includes('privileged'),
      })
    }
    line += rest.length + 2
  }
  return blocks
}
