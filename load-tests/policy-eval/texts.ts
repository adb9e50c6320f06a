/** Statements to be judged: the project's own corpora, and the shared set of SQL injection inputs where it is there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'

const corpus = new URL('../../packages/sql/corpus/', import.meta.url)
const injections = new URL('../../../shared/data/libinjection/', import.meta.url)

/** Evasions, reads, definitions, what takes a catalogue to judge, and conditions with their disguises. */
export function ownTexts(): readonly string[] {
  const blocks = ['evasions', 'reads', 'definitions', 'catalogue'].flatMap((name) =>
    readFileSync(new URL(`${name}.sql`, corpus), 'utf8')
      .split('\n\n')
      .filter((block) => block.startsWith('-- expect:'))
      .map((block) => block.replace(/^(-- (expect|catalogue):.*\n)+/, '')),
  )
  return [...blocks, ...lines('where/tautologies.sql'), ...lines('where/legitimate.sql')]
}

export function lines(file: string): readonly string[] {
  return readFileSync(new URL(file, corpus), 'utf8').trim().split('\n')
}

export interface BoundText {
  readonly sql: string
  readonly values: readonly unknown[]
}

/** With the values that a client could send as text: `?` stands for one that could not be read. */
export function boundTexts(name: 'tautologies' | 'legitimate'): readonly BoundText[] {
  return lines(`where/bound-${name}.jsonl`)
    .map((line) => JSON.parse(line) as [string, unknown[]])
    .filter(([, values]) => !values.includes('?'))
    .map(([sql, values]) => ({ sql, values }))
}

/** As an application pastes them: into a number's place, and into a string's. undefined where the set is not here. */
export function injectedTexts(): readonly string[] | undefined {
  if (!existsSync(injections)) return undefined
  const inputs = readdirSync(injections)
    .filter((name) => name.endsWith('.txt'))
    .flatMap((name) => readFileSync(new URL(name, injections), 'utf8').split('\n'))
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map(decoded)
  return inputs.flatMap((input) => [
    `select a from t where id = ${input}`,
    `select a from t where a = '${input}'`,
    `update t set a = 1 where id = ${input}`,
    input,
  ])
}

function decoded(line: string): string {
  try {
    return decodeURIComponent(line.replaceAll('+', ' '))
  } catch {
    return line
  }
}
