import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { CodedError } from '@portcullis/kernel'
import type { Command } from '../command.ts'
import { CliError } from '../errors.ts'

export const policyTest: Command = {
  name: 'policy test',
  summary: 'Run the examples that stand beside the rules of a policy',
  usage: 'FILE',
  details: ['Exit code 1 where one comes out otherwise, or the file has a mistake; each with its line.'],
  example: 'portcullis policy test policy.yaml',
  words: [1, 1],
  async run({ words: [file = ''], out }) {
    try {
      const { examples, problems } = await readExamples(textOf(resolve(file)), file)
      const told = `${file}: ${examples - problems.length} of ${examples} examples come out as they must`
      out.result({ file, examples, problems }, [...problems, told].join('\n'))
      return problems.length === 0 ? 0 : 1
    } catch (error) {
      if (!(error instanceof CliError && error.cause instanceof CodedError && out.json)) throw error
      out.result({ file, problems: error.message.split('\n') }, '')
      return 1
    }
  },
}

/**
 * How many examples there are, and a line for each that comes out otherwise.
 * @throws CliError usage with every mistake of the rules.
 */
export async function readExamples(
  text: string,
  file: string,
): Promise<{ readonly examples: number; readonly problems: readonly string[] }> {
  // They take a while to load, and no other command needs them.
  const { exampleProblems, PolicyError, parsePolicy } = await import('@portcullis/policy')
  const { createSqlAnalyzer } = await import('@portcullis/sql')
  const analyzer = await createSqlAnalyzer({ cacheEntries: 0, cacheBytesMax: 0 })
  try {
    const policy = parsePolicy(text, file)
    const problems = exampleProblems(policy, (sql) => {
      const bytes = Buffer.from(sql)
      return analyzer.analyzeNow(bytes, 0, bytes.length)
    })
    return { examples: policy.examples.length, problems }
  } catch (cause) {
    if (!(cause instanceof PolicyError)) throw cause
    throw new CliError('usage', cause.problems.join('\n'), 'docs/policy.md has every key', { cause })
  } finally {
    await analyzer.close()
  }
}

/** @throws CliError usage */
export function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new CliError(
      'usage',
      `${file}: cannot be read: ${(cause as Error).message}`,
      'is this the right file?',
    )
  }
}
