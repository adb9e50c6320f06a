/** The command line as a process: `portcullis COMMAND …`. The first Ctrl-C ends it in order, the second at once. */
import { run } from './cli.ts'

const interrupted = new AbortController()
let signalled: NodeJS.Signals | undefined
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    if (signalled) process.exit(130)
    signalled = signal
    interrupted.abort()
  })
// Whoever reads along may have enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 70))

const { env, stdout, stderr } = process
const isTerminal = stderr.isTTY === true
const code = await run(process.argv.slice(2), {
  env,
  isTerminal,
  isColourful: isTerminal && !env.NO_COLOR && env.TERM !== 'dumb',
  interrupted: interrupted.signal,
  stdout: (text) => stdout.write(text),
  stderr: (text) => stderr.write(text),
})
process.exitCode = code === 130 && signalled === 'SIGTERM' ? 143 : code
