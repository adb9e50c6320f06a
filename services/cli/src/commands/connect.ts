import type { Api } from '../api.ts'
import { type Call, type Command, type Options, textOption } from '../command.ts'
import { CliError } from '../errors.ts'
import { gateOf, pickTarget, splitAddress, type Target, targetsOf } from '../gate.ts'
import { openLocalDoor } from '../local-door.ts'
import { findProgram, runInPlace } from '../programs.ts'
import { type Proof, sourceOptions, trade } from '../proof.ts'
import { psqlEnvironment, refusePlain, userName } from '../psql-environment.ts'

/** A token that is about to end opens no new connection. */
const marginMs = 30_000

export const connect: Command = {
  name: 'connect',
  summary: 'Open a target in psql, or on a local port for any client',
  usage:
    'TARGET [--role R] [--database D] [--task TASK] [-- PSQL-ARGUMENT…]\n       portcullis connect TARGET --listen [PORT] …',
  details: [
    'TARGET+ROLE is the same as TARGET --role ROLE.',
    '--listen [PORT]    a port of 127.0.0.1 that needs no password, until Ctrl-C. Only you can use it (on Linux);',
    '                   elsewhere every user of this machine can.',
    'The token that it uses is good for this target and role alone, where the gate gives out such.',
    "Ends with psql's own exit code.",
  ],
  example: "portcullis connect shop --role reader -- -c 'select count(*) from orders'",
  options: {
    ...sourceOptions,
    role: { type: 'string' },
    database: { type: 'string', short: 'd' },
    task: { type: 'string' },
    listen: { type: 'boolean' },
  },
  words: [1, 2],
  passesOn: true,
  async run(call) {
    const { env, options, passedOn } = call
    const { name, role, port } = destination(call)
    const gate = gateOf(call)
    const proof = await gate.proof()
    const target = pickTarget(await targetsOf(gate.api, proof), name, role)
    requireDoor(target)
    refusePlain(target)
    if (port === undefined) {
      const psql = findProgram('psql', env, 'install the PostgreSQL client, or use --listen with another one')
      const token = await narrowed(gate.api, proof, target, role, options)
      const database = textOption(options, 'database')
      return runInPlace(psql, passedOn, psqlEnvironment({ target, role, database, token: token.token }, env))
    }
    let token = await narrowed(gate.api, proof, target, role, options)
    const current = async (): Promise<string> => {
      if ((token.expiresAtMs ?? Number.POSITIVE_INFINITY) - Date.now() < marginMs)
        token = await narrowed(gate.api, await gate.proof(), target, role, options)
      return token.token
    }
    return listen(call, { target, role, port }, current)
  },
}

function destination({ words, options }: Call): { name: string; role: string; port: number | undefined } {
  const [word = '', portWord] = words
  const [name = '', ofName] = word.split('+', 2)
  const ofOption = textOption(options, 'role')
  if (ofName !== undefined && ofOption !== undefined && ofName !== ofOption)
    throw new CliError('usage', `${word} and --role ${ofOption} say two roles`, 'give one of them')
  if (portWord !== undefined && (!options.listen || !/^\d{1,5}$/.test(portWord) || Number(portWord) > 65_535))
    throw new CliError(
      'usage',
      `${JSON.stringify(portWord)} is one word too many`,
      options.listen ? 'a port is a number up to 65535' : 'what is for psql goes after --',
    )
  const port = options.listen ? Number(portWord ?? 0) : undefined
  return { name, role: ofOption ?? ofName ?? '', port }
}

function requireDoor({ name, protocol }: Target): void {
  if (protocol === 'postgres') return
  throw new CliError(
    'no_door',
    `target ${name} speaks ${protocol}, and this command line opens no such target yet`,
    protocol === 'ssh'
      ? 'portcullis ssh cert signs your key for servers of your own'
      : 'portcullis targets list',
  )
}

/** Good for this alone where the gate gives out tokens; what was there, where it gives out none. */
async function narrowed(
  api: Api,
  proof: Proof,
  target: Target,
  role: string,
  options: Options,
): Promise<{ readonly token: string; readonly expiresAtMs?: number | undefined }> {
  const task = textOption(options, 'task')
  try {
    const narrowing = { targets: [target.name], roles: [role], task, lifeSec: undefined }
    return await trade(api, proof, narrowing, Date.now())
  } catch (error) {
    if (!(error instanceof CliError) || error.code !== 'not_offered' || task !== undefined) throw error
    return proof
  }
}

async function listen(
  { out, options, interrupted }: Call,
  { target, role, port }: { readonly target: Target; readonly role: string; readonly port: number },
  token: () => Promise<string>,
): Promise<number> {
  const door = await openLocalDoor({
    door: { ...splitAddress(target.address), tls: target.tls },
    user: userName(target, role),
    database: textOption(options, 'database'),
    port,
    token,
    onConnected: (client) => out.remark(`${client || 'a client'} is connected`),
    onFailed: (error) => out.remark(`portcullis: ${error.message}\n  ${error.hint}`),
  })
  const database = textOption(options, 'database') ?? target.database
  const user = userName(target, role)
  out.result(
    { host: '127.0.0.1', port: door.port, target: target.name, role, database },
    `127.0.0.1:${door.port} leads to ${user}. Any client, no password, until Ctrl-C:\n  psql -h 127.0.0.1 -p ${door.port} -d ${database}`,
  )
  await new Promise<void>((resolve) => {
    if (interrupted.aborted) resolve()
    else interrupted.addEventListener('abort', () => resolve(), { once: true })
  })
  await door.close()
  return 0
}
