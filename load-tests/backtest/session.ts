/** One session of an agent that sends many small statements of many kinds, a hundred at a time, and counts what is refused. */
import { connect, type Socket } from 'node:net'
import { message, startup } from '../postgres/wire.ts'

export interface Counts {
  /** By kind of statement. */
  readonly sent: Record<string, number>
  /** By the rule that the client was told; `none` where no rule allows it. */
  readonly refused: Record<string, number>
}

/** How many of a hundred. */
const mix: readonly (readonly [string, number, (at: number) => string])[] = [
  ['read', 58, (at) => `select id, n from items where id = ${at % 1000}`],
  ['two', 4, (at) => `select n, ${at} as at from items where n between ${at % 500} and ${(at % 500) + 3}`],
  ['update', 15, (at) => `update items set n = n + ${at % 7} where id = ${at % 1000}`],
  ['log', 6, (at) => `insert into log values (${at}, 'step ${at % 97}')`],
  ['tautology', 5, (at) => `update items set n = 0 where ${at} = ${at}`],
  ['empty', 3, () => 'delete from items'],
  ['grant', 3, (at) => `grant select on items to role_${at % 9}`],
  ['define', 3, (at) => `create table made_${at} (a int)`],
  ['secret', 3, (at) => `select a from secrets where a = ${at}`],
]
const kinds = mix.flatMap(([kind, share, sql]) => Array.from({ length: share }, () => ({ kind, sql })))

export interface Door {
  readonly port: number
  readonly user: string
  readonly password: string
}

export async function runSession(
  door: Door,
  number: number,
  commands: number,
  counts: Counts,
): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port: door.port, noDelay: true })
  const answers = createAnswers(socket, counts)
  socket.write(startup(door.user))
  await answers.until(({ asked }) => asked)
  socket.write(message('p', door.password))
  await answers.until(({ ready }) => ready === 1)
  for (let at = 0; at < commands; ) {
    const many = Math.min(100, commands - at)
    const batch = Array.from({ length: many }, (_, index) => {
      // Seven and a hundred have no common divisor: all of the mix, in an order that shifts.
      const of = number * commands + at + index
      const { kind, sql } = kinds[(of * 7 + number) % kinds.length] ?? { kind: 'read', sql: () => 'select 1' }
      counts.sent[kind] = (counts.sent[kind] ?? 0) + 1
      return message('Q', sql(of))
    })
    socket.write(Buffer.concat(batch))
    at += many
    await answers.until(({ ready }) => ready === 1 + at)
  }
  socket.end(message('X'))
  await new Promise((resolve) => socket.once('close', resolve))
}

interface Heard {
  asked: boolean
  /** ReadyForQuery so far. */
  ready: number
}

function createAnswers(socket: Socket, { refused }: Counts) {
  const heard: Heard = { asked: false, ready: 0 }
  let held = Buffer.alloc(0)
  let look = () => {}
  let failed: Error | undefined
  socket.on('data', (chunk) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    let at = 0
    while (held.length - at >= 5) {
      const end = at + 1 + held.readUInt32BE(at + 1)
      if (end > held.length) break
      const type = held[at]
      if (type === 0x52) heard.asked = true
      else if (type === 0x5a) heard.ready += 1
      else if (type === 0x45) refusal(held.toString('latin1', at + 5, end))
      at = end
    }
    held = held.subarray(at)
    look()
  })
  socket.once('error', fail)
  socket.once('close', () => fail(new Error('the session ended')))

  function refusal(text: string): void {
    const rule = /rule=(\S+?)(?: |\0)/.exec(`${text}\0`)?.[1]
    if (!/reason=(?:policy|approval)_/.test(text)) return fail(new Error(text.replaceAll('\0', ' ')))
    const name = rule ?? 'none'
    refused[name] = (refused[name] ?? 0) + 1
  }

  function fail(error: Error): void {
    failed ??= error
    look()
  }

  return {
    until(test: (heard: Heard) => boolean): Promise<void> {
      return new Promise((resolve, reject) => {
        look = () => {
          if (test(heard)) resolve()
          else if (failed) reject(failed)
        }
        look()
      })
    },
  }
}
