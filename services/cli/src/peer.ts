/** Whether who connected over loopback is this same user. Linux says whose each socket is; elsewhere nobody asks. */
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'

/** True where it cannot be told. */
export function isOwnPeer({ remotePort, localPort }: Pick<Socket, 'remotePort' | 'localPort'>): boolean {
  const own = process.getuid?.()
  if (process.platform !== 'linux' || own === undefined || !remotePort || !localPort) return true
  const uids = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) => {
    try {
      return uidsIn(readFileSync(file, 'utf8'), remotePort, localPort)
    } catch {
      return []
    }
  })
  return uids.every((uid) => uid === own)
}

/** Users of the sockets from port `from` to port `to`, by the kernel's table (proc_pid_net(5)). Pure. */
export function uidsIn(text: string, from: number, to: number): number[] {
  return text.split('\n').flatMap((line) => {
    const [, local = '', remote = '', , , , , uid = ''] = line.trim().split(/\s+/)
    return portOf(local) === from && portOf(remote) === to ? [Number(uid)] : []
  })
}

function portOf(address: string): number {
  return Number.parseInt(address.slice(address.lastIndexOf(':') + 1), 16)
}
