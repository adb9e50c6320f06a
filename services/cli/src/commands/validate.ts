import { resolve } from 'node:path'
import type { Command } from '../command.ts'
import { CliError } from '../errors.ts'

export const validate: Command = {
  name: 'validate',
  summary: 'Check a configuration of Portcullis: every mistake with its line',
  usage: 'FILE',
  details: ['The same as npm start -- --config FILE --validate. What only this machine lacks is a warning.'],
  example: 'portcullis validate portcullis.yaml',
  words: [1, 1],
  async run({ words: [file = ''], out }) {
    // It takes a while to load, and no other command needs it.
    const { ConfigError, loadConfigHere } = await import('@portcullis/config')
    const { PolicyError, policyWarnings } = await import('@portcullis/policy')
    try {
      const { config, missing: lacking } = loadConfigHere(resolve(file))
      const missing = [...lacking, ...policyWarnings(config)]
      for (const line of missing) out.remark(`warning: ${line}`)
      out.result({ file, valid: true, warnings: missing }, `${file}: valid`)
      return 0
    } catch (error) {
      if (!(error instanceof ConfigError || error instanceof PolicyError)) throw error
      const isPolicy = error.problems.some((problem) => problem.endsWith(' rules: unknown key'))
      const hint = isPolicy
        ? 'is this a policy? portcullis policy test FILE checks one by itself'
        : 'docs/configuration.md has every key'
      if (!out.json) throw new CliError('usage', error.problems.join('\n'), hint)
      out.result({ file, valid: false, problems: error.problems }, '')
      return 1
    }
  },
}
