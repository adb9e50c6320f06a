import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Config } from '@portcullis/config'
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
    const { exampleProblems, PolicyError, parsePolicy } = await import('@portcullis/policy')
    const { createSqlAnalyzer } = await import('@portcullis/sql')
    const analyzer = await createSqlAnalyzer({ cacheEntries: 0, cacheBytesMax: 0 })
    try {
      const policy = parsePolicy(textOf(resolve(file)), file)
      const problems = exampleProblems(policy, (sql) => {
        const text = Buffer.from(sql)
        return analyzer.analyzeNow(text, 0, text.length)
      })
      const examples = policy.examples.length
      const told = `${file}: ${examples - problems.length} of ${examples} examples come out as they must`
      out.result({ file, examples, problems }, [...problems, told].join('\n'))
      return problems.length === 0 ? 0 : 1
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error
      if (!out.json) throw new CliError('usage', error.problems.join('\n'), 'docs/policy.md has every key')
      out.result({ file, problems: error.problems }, '')
      return 1
    } finally {
      await analyzer.close()
    }
  },
}

/** Of the policy that a configuration names; rejects with PolicyError. A file that is not there is a warning already. */
export async function policyWarnings({ policy, targets }: Config): Promise<readonly string[]> {
  if (policy === undefined) return []
  const { loadPolicy } = await import('@portcullis/policy')
  let text: string
  try {
    text = textOf(policy.file)
  } catch {
    return []
  }
  const known = targets.map(({ name: target, protocol, labels }) => ({ target, protocol, labels }))
  return loadPolicy(text, policy.file, known).warnings
}

function textOf(file: string): string {
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
