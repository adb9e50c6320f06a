/** The policy of a gate: what is in force, and the documents of it that the API holds. */
import { resolve } from 'node:path'
import { type Call, type Command, textOption } from '../command.ts'
import { CliError, shown } from '../errors.ts'
import { gateOf } from '../gate.ts'
import { sourceOptions } from '../proof.ts'
import { readExamples, textOf } from './policy.ts'

interface PolicyAnswer {
  readonly version: string | null
  readonly documents: readonly {
    readonly source: 'file' | 'api'
    readonly name: string | null
    readonly version: number | null
    readonly changedAt: string | null
    readonly changedBy: string | null
    readonly text: string
    readonly problems: readonly string[]
  }[]
}

export const policyShow: Command = {
  name: 'policy show',
  summary: 'The policy in force at a gate, and where each part of it comes from',
  usage: '[--from SOURCE]',
  example: 'portcullis policy show',
  options: sourceOptions,
  async run(call) {
    const { api, proof } = gateOf(call)
    const { token } = await proof()
    const policy = await api.get<PolicyAnswer>('/v1/policy', token)
    call.out.result(policy, textOfPolicy(policy))
    return 0
  },
}

function textOfPolicy({ version, documents }: PolicyAnswer): string {
  const parts = documents.map(({ source, name, text, problems, ...mark }) => {
    const by = `version ${mark.version}, ${mark.changedAt} by ${mark.changedBy}`
    const head = source === 'file' ? '# of the file' : `# ${name}: ${by}`
    return [head, ...problems.map((problem) => `# not in force: ${problem}`), text.trimEnd()].join('\n')
  })
  const told = version === null ? 'no policy: whoever may connect may run anything' : `policy ${version}`
  return [`# ${told}`, ...parts].map(shownLines).join('\n')
}

function shownLines(text: string): string {
  return text.split('\n').map(shown).join('\n')
}

interface PutAnswer {
  readonly outcome: 'created' | 'changed' | 'unchanged'
  readonly version: number
}

const changing = { ...sourceOptions, 'if-version': { type: 'string' } } as const
const ifVersion = '--if-version N  only where it is at that version still; policy show says which'

export const policyPut: Command = {
  name: 'policy put',
  summary: 'Put rules beside those of the file, in force within a second, for open sessions too',
  usage: 'NAME FILE [--if-version N] [--validate] [--from SOURCE]',
  details: [
    'Its examples must come out right before it is sent. Needs the role admin.',
    ifVersion,
    '--validate      say what would be wrong or come of it, and change nothing',
  ],
  example: 'portcullis policy put payments payments.yaml',
  options: { ...changing, validate: { type: 'boolean' } },
  words: [2, 2],
  async run(call) {
    const { words, options, out } = call
    const [name = '', file = ''] = words
    const text = textOf(resolve(file))
    const { problems } = await readExamples(text, file)
    if (problems.length > 0) throw new CliError('usage', problems.join('\n'), 'nothing was sent')
    const { api, proof } = gateOf(call)
    const { token } = await proof()
    const path = `${addressOf(name)}${options.validate ? '?validate=true' : ''}`
    const answer = await api.put<PutAnswer>(path, token, { text }, versionOf(call))
    const would = options.validate ? 'would be ' : ''
    out.result(answer, `${name}: ${would}${answer.outcome}, version ${answer.version}`)
    return 0
  },
}

export const policyRemove: Command = {
  name: 'policy remove',
  summary: 'Take rules away that were put by the API',
  usage: 'NAME [--if-version N] [--reason TEXT] [--open] [--from SOURCE]',
  details: [
    ifVersion,
    '--reason TEXT   why, for the trail',
    '--open          also where these are the last rules for a target, which is open from then on',
  ],
  example: 'portcullis policy remove payments --reason "in the file now"',
  options: { ...changing, reason: { type: 'string' }, open: { type: 'boolean' } },
  words: [1, 1],
  async run(call) {
    const [name = ''] = call.words
    const { api, proof } = gateOf(call)
    const { token } = await proof()
    const reason = encodeURIComponent(textOption(call.options, 'reason') ?? '')
    const open = call.options.open ? '&open=true' : ''
    const path = `${addressOf(name)}?reason=${reason}${open}`
    const answer = await api.delete<object>(path, token, versionOf(call))
    call.out.result(answer, `${name}: removed`)
    return 0
  },
}

function addressOf(name: string): string {
  return `/v1/config/policies/${encodeURIComponent(name)}`
}

/** @throws CliError usage */
function versionOf({ options }: Pick<Call, 'options'>): string | undefined {
  const text = textOption(options, 'if-version')
  if (text === undefined || /^\d{1,15}$/.test(text)) return text
  throw new CliError('usage', `--if-version ${JSON.stringify(text)} is no version`, 'give a whole number')
}
