/** A real OpenSSH server on loopback that trusts one user authority and nothing else, for tests; and keys for its clients. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'

/** Path of sshd; undefined where this machine has none. */
export const sshdBinary = ['/usr/sbin/sshd', '/usr/bin/sshd'].find((path) => existsSync(path))

export interface Sshd {
  readonly port: number
  log(): string
  /** `echo hello` with this key and the certificate beside it, or what the further options of ssh say. */
  run(key: string, ...options: string[]): Promise<{ status: number | null; stdout: string; stderr: string }>
}

/** A new key pair by ssh-keygen; returns the path of its private half. */
export function newSshKey(dir: string, name: string, ...options: string[]): string {
  const path = join(dir, name)
  execFileSync('ssh-keygen', ['-q', '-N', '', '-C', 'test', '-f', path, ...options])
  return path
}

/** `caLine` is trusted (TrustedUserCAKeys); what it keeps lies in `dir`. */
export async function startSshd(dir: string, binary: string, caLine: string): Promise<Started<Sshd>> {
  const hostKey = newSshKey(dir, 'host', '-t', 'ed25519')
  const port = await freePort()
  const config = join(dir, 'sshd_config')
  writeFileSync(join(dir, 'user-ca.pub'), `${caLine}\n`)
  chmodSync(dir, 0o755)
  writeFileSync(
    config,
    [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${hostKey}`,
      `TrustedUserCAKeys ${join(dir, 'user-ca.pub')}`,
      'AuthorizedKeysFile none',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'UsePAM no',
      'PermitRootLogin prohibit-password',
      'StrictModes no',
      `PidFile ${join(dir, 'pid')}`,
      'LogLevel VERBOSE',
      '',
    ].join('\n'),
  )
  // OpenSSH wants it, and Debian makes it when the service starts.
  if (process.getuid?.() === 0) execFileSync('mkdir', ['-p', '/run/sshd'])
  let log = ''
  const server = spawn(binary, ['-D', '-e', '-f', config], { stdio: ['ignore', 'ignore', 'pipe'] })
  server.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text
  })
  const stop = async () => {
    if (server.exitCode !== null) return
    server.kill()
    await once(server, 'exit')
  }
  for (let tries = 0; !log.includes('Server listening'); tries++) {
    if (tries === 100 || server.exitCode !== null) {
      await stop()
      assert.fail(log)
    }
    await sleep(50)
  }
  const value: Sshd = {
    port,
    log: () => log,
    async run(key, ...options) {
      const client = spawn('ssh', [
        ...['-F', 'none', '-i', key, '-p', String(port), '-o', 'BatchMode=yes'],
        ...['-o', 'StrictHostKeyChecking=no', '-o', `UserKnownHostsFile=${join(dir, 'known')}`],
        ...['-o', 'IdentitiesOnly=yes', '-o', 'IdentityAgent=none', ...options, '127.0.0.1'],
        ...(options.length === 0 ? ['echo hello'] : []),
      ])
      client.stdin.end()
      const out: string[] = []
      const err: string[] = []
      client.stdout.setEncoding('utf8').on('data', (text) => out.push(text))
      client.stderr.setEncoding('utf8').on('data', (text) => err.push(text))
      const [status] = await once(client, 'close')
      return { status, stdout: out.join(''), stderr: err.join('') }
    },
  }
  return { value, stop }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address ? address.port : 0
}
