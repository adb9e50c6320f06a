import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { type Call, type Command, textOption, textsOption } from '../command.ts'
import { CliError, messageOf, shown } from '../errors.ts'
import { gateOf } from '../gate.ts'
import { findProgram } from '../programs.ts'
import { sourceOptions } from '../proof.ts'
import { configDir } from '../settings.ts'
import { readCertificate } from '../ssh-certificate.ts'
import { secondsOption } from './token.ts'

/** One that is about to end is as good as over. */
const marginSec = 30

const keyOptions = {
  ...sourceOptions,
  key: { type: 'string' },
  principal: { type: 'string', multiple: true },
  life: { type: 'string' },
  pin: { type: 'boolean' },
} as const

const keyDetails = [
  '--key PATH         your key; where none is named, one of its own in PORTCULLIS_CONFIG_DIR, made when first needed',
  '--principal USER   users of the server that you want to be, several times; all that you may where none is named',
  '--life SEC         how long it shall live, at most',
  '--pin              good only from this address',
]

interface Certified {
  readonly certificate: string
  readonly serial: string
  readonly validBefore: number
  readonly principals: readonly string[]
  readonly hosts: readonly string[]
}

export const sshCert: Command = {
  name: 'ssh cert',
  summary: 'Have your SSH key certified for a short while',
  usage: '[--key PATH] [--principal USER]… [--life SEC] [--pin] [--if-needed]',
  details: [
    ...keyDetails,
    '--if-needed        nothing where the certificate that is there is good for a while yet',
    'Writes KEY-cert.pub beside the key, where ssh finds it by itself.',
  ],
  example: 'portcullis ssh cert --key ~/.ssh/id_ed25519 && ssh deploy@web1.prod.example',
  options: { ...keyOptions, 'if-needed': { type: 'boolean' } },
  async run(call) {
    const key = keyOf(call)
    const file = `${key}-cert.pub`
    const present = call.options['if-needed'] ? readPresent(file) : undefined
    if (present && present.validBefore - Date.now() / 1000 > marginSec) {
      const until = isoOf(present.validBefore)
      call.out.result({ file, ...present, renewed: false }, `${file}: good until ${until}`)
      return 0
    }
    const { certificate: _, ...certified } = await certify(call, key)
    const text = `${file}: ${certified.principals.map(shown).join(', ')} until ${isoOf(certified.validBefore)}`
    call.out.result({ file, ...certified, renewed: true }, text)
    return 0
  },
}

export const sshConfig: Command = {
  name: 'ssh config',
  summary: 'Print a block for ~/.ssh/config that has your key certified as it is needed',
  usage: '[--host PATTERN]… [--key PATH] [--principal USER]…',
  details: [
    '--host PATTERN     servers that it is for, several times; those that the gate names where none is',
    ...keyDetails,
  ],
  example: 'portcullis ssh config >> ~/.ssh/config',
  options: { ...keyOptions, host: { type: 'string', multiple: true } },
  async run(call) {
    const key = keyOf(call)
    const certified = await certify(call, key)
    const given = textsOption(call.options, 'host')
    const hosts = given.length > 0 ? given : certified.hosts
    if (hosts.length === 0 || !hosts.every((host) => /^[A-Za-z0-9*?._:-]+$/.test(host)))
      throw new CliError(
        'usage',
        hosts.length === 0 ? 'the gate names no servers for you' : 'that is no pattern of a host',
        "give --host '*.prod.example'",
      )
    const { url } = gateOf(call).api
    const principals = textsOption(call.options, 'principal')
    const [user] = certified.principals.length === 1 ? certified.principals : []
    if (/['"\\$`%]/.test(url) || ![...principals, ...(user ? [user] : [])].every(isUserName))
      throw new CliError(
        'usage',
        'the address or a user name cannot stand in ssh_config',
        'write the block by hand',
      )
    const block = sshConfigBlock({ hosts, key, url, principals, user })
    call.out.result({ block, hosts, key }, block)
    return 0
  },
}

/** A block of ssh_config(5): before each connection to these hosts the certificate is renewed where it has to be. */
export function sshConfigBlock(of: {
  readonly hosts: readonly string[]
  readonly key: string
  readonly url: string
  readonly principals: readonly string[]
  readonly user: string | undefined
}): string {
  const asked = of.principals.map((name) => ` --principal ${name}`).join('')
  // ssh_config takes the whole in double quotes, and hands it to a shell.
  const renew = `portcullis ssh cert --if-needed --url '${of.url}' --key '${of.key}'${asked} >/dev/null`
  return [
    '# portcullis ssh config',
    `Match host "${of.hosts.join(',')}" exec "${renew}"`,
    ...(of.user === undefined ? [] : [`  User ${of.user}`]),
    `  IdentityFile "${of.key}"`,
    `  CertificateFile "${of.key}-cert.pub"`,
    '  IdentitiesOnly yes',
  ].join('\n')
}

async function certify(call: Call, key: string): Promise<Certified> {
  const { api, proof } = gateOf(call)
  const lifeSec = secondsOption(call.options, 'life')
  const { token } = await proof()
  const publicKey = publicKeyOf(call, key)
  const certified = await api.post<Certified>('/v1/ssh/certificates', token, {
    publicKey,
    principals: textsOption(call.options, 'principal'),
    ...(lifeSec !== undefined && { lifeSec }),
    ...(call.options.pin && { sourceAddress: 'caller' }),
  })
  const file = `${key}-cert.pub`
  try {
    writeFileSync(file, `${certified.certificate}\n`, { mode: 0o644 })
  } catch (cause) {
    throw new CliError('file', `${file} cannot be written: ${messageOf(cause)}`, 'name another --key', {
      cause,
    })
  }
  return certified
}

function isUserName(name: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9_.@+-]*$/.test(name)
}

/** Path of the private half, absolute. What would not stand in ssh_config as it is, is refused. */
function keyOf({ options, env }: Call): string {
  const given = textOption(options, 'key')?.replace(/^~(?=\/)/, homedir())
  const path = resolve(given ?? join(configDir(env), 'ssh', 'id_ed25519')).replace(/\.pub$/, '')
  if (/["'\n\r\\$`%]/.test(path))
    throw new CliError(
      'usage',
      `${shown(path)} has characters that ssh_config cannot take`,
      'name another --key',
    )
  return path
}

function publicKeyOf({ options, env }: Call, key: string): string {
  const file = `${key}.pub`
  if (!existsSync(file) && textOption(options, 'key') === undefined) makeKey(key, env)
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (cause) {
    const hint = 'make one: ssh-keygen -t ed25519; or leave --key out'
    throw new CliError('file', `${file} cannot be read: ${messageOf(cause)}`, hint, { cause })
  }
}

function makeKey(key: string, env: NodeJS.ProcessEnv): void {
  const keygen = findProgram('ssh-keygen', env, 'install the OpenSSH client')
  mkdirSync(dirname(key), { recursive: true, mode: 0o700 })
  execFileSync(keygen, ['-q', '-t', 'ed25519', '-N', '', '-C', 'portcullis', '-f', key], { stdio: 'ignore' })
}

function readPresent(file: string) {
  try {
    return readCertificate(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}

function isoOf(sec: number): string {
  return new Date(sec * 1000).toISOString()
}
