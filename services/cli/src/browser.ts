/** Opens a page in the person's browser where there is one to be seen. It never fails: the address was printed too. */
import { spawn } from 'node:child_process'

/** Whether something was started. */
export function openBrowser(url: string, env: NodeJS.ProcessEnv): boolean {
  const program = openerFor(process.platform, env)
  if (program === undefined) return false
  const [command, ...args] = program
  const child = spawn(command, [...args, url], { stdio: 'ignore', detached: true, env })
  child.on('error', () => undefined)
  child.unref()
  return true
}

/** Undefined where nobody would see it. */
export function openerFor(
  platform: NodeJS.Platform,
  env: NodeJS.ProcessEnv,
): readonly [string, ...string[]] | undefined {
  if (env.CI || env.SSH_CONNECTION) return undefined
  if (env.BROWSER) return [env.BROWSER]
  if (platform === 'darwin') return ['open']
  if (platform === 'win32') return ['rundll32', 'url.dll,FileProtocolHandler']
  return env.DISPLAY || env.WAYLAND_DISPLAY ? ['xdg-open'] : undefined
}
