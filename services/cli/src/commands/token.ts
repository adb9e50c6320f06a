import { type Command, type Options, textOption, textsOption } from '../command.ts'
import { CliError } from '../errors.ts'
import { gateOf } from '../gate.ts'
import { type Narrowing, sourceOptions, trade } from '../proof.ts'

export const token: Command = {
  name: 'token',
  summary: 'Print a valid token, for scripts',
  usage: '[--from SOURCE] [--exchange] [--target T]… [--role R]… [--task TASK] [--life SEC]',
  details: [
    '--from SOURCE      env (PORTCULLIS_TOKEN), file (--file, PORTCULLIS_TOKEN_FILE), github-actions, gitlab',
    '                   (PORTCULLIS_ID_TOKEN), kubernetes (a projected service account token)',
    '--audience A       what the token of github-actions is for: portcullis where nothing is said',
    '--exchange         trade it for one that is good for less: --target, --role, --task and --life each say what',
    '--exec-credential  print it as a Kubernetes ExecCredential',
  ],
  example: 'PGPASSWORD=$(portcullis token --target shop --life 300) psql -h gate.example -p 15432 -U shop',
  options: {
    ...sourceOptions,
    exchange: { type: 'boolean' },
    target: { type: 'string', multiple: true },
    role: { type: 'string', multiple: true },
    task: { type: 'string' },
    life: { type: 'string' },
    'exec-credential': { type: 'boolean' },
  },
  async run(call) {
    const { options, out } = call
    const { api, proof: find } = gateOf(call)
    const narrowing = narrowingOf(options)
    const proof = await find()
    const isTraded = Boolean(options.exchange) || narrowing !== undefined
    const { token, expiresAtMs, ...rest } = isTraded
      ? await trade(api, proof, narrowing ?? everything, Date.now())
      : proof
    const expiresAt = expiresAtMs === undefined ? undefined : new Date(expiresAtMs).toISOString()
    if (options['exec-credential']) {
      const credential = {
        apiVersion: execApiVersion(call.env.KUBERNETES_EXEC_INFO),
        kind: 'ExecCredential',
        status: { token, ...(expiresAt !== undefined && { expirationTimestamp: expiresAt }) },
      }
      out.result(credential, JSON.stringify(credential))
    } else out.result({ token, expiresAt, from: proof.from, ...rest }, token)
    return 0
  },
}

/** The answer must be of the version that was asked in (client.authentication.k8s.io). */
function execApiVersion(info: string | undefined): string {
  const asked = /"apiVersion":\s*"(client\.authentication\.k8s\.io\/v1(?:beta1)?)"/.exec(info ?? '')?.[1]
  return asked ?? 'client.authentication.k8s.io/v1'
}

const everything: Narrowing = { targets: [], roles: [], task: undefined, lifeSec: undefined }

/** Undefined where nothing less is asked for. @throws CliError usage */
function narrowingOf(options: Options): Narrowing | undefined {
  const narrowing = {
    targets: textsOption(options, 'target'),
    roles: textsOption(options, 'role'),
    task: textOption(options, 'task'),
    lifeSec: secondsOption(options, 'life'),
  }
  const { targets, roles, task, lifeSec } = narrowing
  const isNothing = targets.length === 0 && roles.length === 0 && task === undefined && lifeSec === undefined
  return isNothing ? undefined : narrowing
}

/** @throws CliError usage */
export function secondsOption(options: Options, name: string): number | undefined {
  const text = textOption(options, name)
  if (text === undefined || /^[1-9]\d{0,8}$/.test(text)) return text === undefined ? undefined : Number(text)
  throw new CliError('usage', `--${name} ${JSON.stringify(text)} is no time`, 'give a number of seconds')
}
