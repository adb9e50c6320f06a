/** Runs one client's program against one side and gives what it answered; a program that dies keeps what it had said. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Side } from './bed.ts'
import type { Command } from './catalogue.ts'
import { type Answer, type Work, works } from './works.ts'

const limitMs = 180_000

export async function perform(
  command: Command,
  side: Side,
  caFile: string,
): Promise<ReadonlyMap<Work, Answer>> {
  const [program, ...args] = command.argv
  if (program === undefined) throw new Error('a client without a program')
  const child = spawn(program, args, {
    env: { ...process.env, ...command.env, ...clientEnv(side, caFile) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'close')
  const limit = setTimeout(() => child.kill('SIGKILL'), limitMs)
  let complaint = ''
  child.stderr.on('data', (chunk) => {
    complaint = `${complaint}${chunk}`.slice(-4000)
  })
  const answers = new Map<Work, Answer>()
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith('{"work"')) continue
    const answer = JSON.parse(line) as Answer
    answers.set(answer.work, answer)
  }
  const [code, signal] = await ended
  clearTimeout(limit)
  const ending =
    code === 0 ? 'the program does not report it' : `the program ended with ${signal ?? code}: ${complaint}`
  for (const work of Object.keys(works) as Work[])
    if (!answers.has(work)) answers.set(work, { work, failed: ending })
  return answers
}

function clientEnv(side: Side, caFile: string): Record<string, string> {
  const { host, port, user, password, database } = side
  return {
    CLIENT_HOST: host,
    CLIENT_PORT: String(port),
    CLIENT_USER: user,
    CLIENT_PASSWORD: password,
    CLIENT_DATABASE: database,
    CLIENT_CA: caFile,
  }
}
