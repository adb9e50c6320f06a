/**
 * Arguments -> a command, its options, and what came of it as an exit code. Whatever is thrown becomes words and a code; a
 * stack trace is never shown.
 */
import { parseArgs } from 'node:util'
import { type Command, common, type Options, type Out } from './command.ts'
import {
  approvalsApprove,
  approvalsDeny,
  approvalsList,
  approvalsRevoke,
  approvalsShow,
} from './commands/approvals.ts'
import { backtest } from './commands/backtest.ts'
import { connect } from './commands/connect.ts'
import { grantsList, grantsRequest, grantsRevoke } from './commands/grants.ts'
import { kubeconfig } from './commands/kubeconfig.ts'
import { login, logout } from './commands/login.ts'
import { policyPut, policyRemove, policyShow } from './commands/policies.ts'
import { policyTest } from './commands/policy.ts'
import { sshCert, sshConfig } from './commands/ssh.ts'
import { targetsList } from './commands/targets.ts'
import { token } from './commands/token.ts'
import { validate } from './commands/validate.ts'
import { whoami } from './commands/whoami.ts'
import { CliError, messageOf, shown } from './errors.ts'
import { helpOf, overview } from './help.ts'

export const commands: readonly Command[] = [
  ...[
    login,
    logout,
    whoami,
    token,
    targetsList,
    connect,
    sshCert,
    sshConfig,
    kubeconfig,
    approvalsList,
    approvalsShow,
    approvalsApprove,
    approvalsDeny,
    approvalsRevoke,
    grantsRequest,
    grantsList,
    grantsRevoke,
    validate,
    policyTest,
    policyShow,
    policyPut,
    policyRemove,
    backtest,
  ],
]

export interface Streams {
  readonly env: NodeJS.ProcessEnv
  readonly isTerminal: boolean
  /** Whether bold letters are wanted. */
  readonly isColourful: boolean
  readonly interrupted: AbortSignal
  stdout(text: string): void
  stderr(text: string): void
}

const internalExitCode = 70
const interruptedExitCode = 130

/** Returns the exit code; never throws. */
export async function run(args: readonly string[], streams: Streams): Promise<number> {
  const ours = args.includes('--') ? args.slice(0, args.indexOf('--')) : args
  const json = ours.includes('--json')
  try {
    return await dispatch(args, outOf(streams, json), streams)
  } catch (error) {
    if (streams.interrupted.aborted) return interruptedExitCode
    const known =
      error instanceof CliError
        ? { code: error.code, message: error.message, hint: error.hint, exitCode: error.exitCode }
        : {
            ...{ code: 'internal', message: shown(messageOf(error)), exitCode: internalExitCode },
            hint: 'this is a mistake of portcullis: please report it with the command that you ran',
          }
    const { exitCode, ...told } = known
    streams.stderr(
      json ? `${JSON.stringify({ error: told })}\n` : `portcullis: ${told.message}\n  ${told.hint}\n`,
    )
    return exitCode
  }
}

async function dispatch(args: readonly string[], out: Out, streams: Streams): Promise<number> {
  const [first] = args
  if (first === undefined || ['--help', '-h', 'help'].includes(first)) {
    streams.stdout(`${overview(commands)}\n`)
    return first === undefined ? 1 : 0
  }
  const command = commands
    .filter(({ name }) => `${args.join(' ')} `.startsWith(`${name} `))
    .toSorted((a, b) => b.name.length - a.name.length)[0]
  if (!command) throw unknownCommand(args)
  const rest = args.slice(command.name.split(' ').length)
  const end = rest.indexOf('--')
  const [own, passedOn] = end < 0 ? [rest, []] : [rest.slice(0, end), rest.slice(end + 1)]
  const { values, positionals } = parsed(command, own)
  if (values.help) {
    streams.stdout(`${helpOf(command)}\n`)
    return 0
  }
  const [least, most] = command.words ?? [0, 0]
  if (positionals.length < least || positionals.length > most || (passedOn.length > 0 && !command.passesOn))
    throw usageError(
      command,
      positionals.length < least ? 'something is missing' : 'there is a word too many',
    )
  const { env, interrupted } = streams
  return command.run({ words: positionals, options: values, passedOn, env, out, interrupted })
}

function parsed(command: Command, args: readonly string[]): { values: Options; positionals: string[] } {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { ...common, ...command.options },
      allowPositionals: true,
    })
    return { values: values as Options, positionals }
  } catch (cause) {
    throw usageError(command, shown(messageOf(cause)).split('. ', 1)[0] ?? '', cause)
  }
}

function usageError({ name, usage }: Command, what: string, cause?: unknown): CliError {
  const hint = `portcullis ${name} ${usage.split('\n', 1)[0]}; more with --help`
  return new CliError('usage', `${name}: ${what}`, hint, { cause })
}

function unknownCommand(args: readonly string[]): CliError {
  const [first = ''] = args
  const near = commands.map(({ name }) => name).filter((name) => name.split(' ')[0] === first)
  const hint =
    near.length > 0
      ? `did you mean ${near.map((name) => `portcullis ${name}`).join(', ')}?`
      : 'portcullis --help'
  return new CliError(
    'usage',
    `there is no command ${JSON.stringify(shown(args.slice(0, 2).join(' ')))}`,
    hint,
  )
}

function outOf({ stdout, stderr, isTerminal, isColourful }: Streams, json: boolean): Out {
  return {
    json,
    isTerminal,
    result: (value, text) => stdout(`${json ? JSON.stringify(value) : text}\n`),
    remark: (text) => {
      if (!json) stderr(`${text}\n`)
    },
    bold: (text) => (isColourful ? `\u001b[1m${text}\u001b[22m` : text),
  }
}
