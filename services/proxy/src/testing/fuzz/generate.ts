/** Scripts from a seed: what clients and servers say, rightly and wrongly, cut anywhere, with all that may come between. */
import { type Random, randomFrom } from '../../../../../load-tests/simulator/random.ts'
import {
  backend,
  errorResponse,
  fieldsMessage,
  frontend,
  int32,
  message,
  parameterStatus,
} from '../../protocols/postgres/wire.ts'
import { send } from '../raw-client.ts'
import { secrets } from './client-wire.ts'
import { MessageReader } from './messages.ts'
import { ModelServer } from './model-server.ts'
import { statements } from './model-statements.ts'
import { anyDamage, framedDamage, randomBytes, split } from './mutate.ts'
import { plainOptions, type Script, type ScriptOptions, type Step } from './script.ts'

type Damage = 'none' | 'payloads' | 'anything'

/** A client that may send anything, before a server that does as it should. */
export function clientScript(seed: number): Script {
  const random = randomFrom(seed)
  const damage = random.pick<Damage>(['none', 'none', 'payloads', 'payloads', 'anything'])
  const share = random.pick([0.01, 0.05, 0.2])
  // All of it is held until a person lets it pass.
  const isHeld = random.next() < 0.3
  const options = { ...someOptions(random), ...(isHeld && { peopleTurns: random.whole(0, 4) }) }
  const count = random.whole(3, 60)
  const frames = clientFrames(random, count, damage, share)
  const steps: Step[] = isHeld ? [{ verdict: 'hold' }] : []
  const hostile = random.next() < 0.5
  const cuts = random.next() < 0.3
  while (frames.length > 0) {
    const burst = frames.splice(0, random.whole(1, 12))
    for (const piece of split(random, Buffer.concat(burst), random.next() < 0.5 ? 1 : 6)) {
      steps.push({ client: piece.toString('hex') })
      if (random.next() < 0.6) steps.push(answerStep(random))
      if (random.next() < 0.3) steps.push({ turns: random.whole(1, 3) })
      if (hostile && random.next() < 0.15) steps.push(eventStep(random))
      // A cut that ends before the next command comes: the verdict stands for a moment only.
      if (cuts && random.next() < 0.1)
        steps.push({ verdict: 'block', cancelRunning: true }, { verdict: 'none' })
    }
  }
  return { options, steps, frames: count }
}

/** A server that may say anything, to a client that does as it should. */
export function serverScript(seed: number): Script {
  const random = randomFrom(seed)
  const steps: Step[] = []
  const model = new ModelServer()
  const asked = new MessageReader()
  let frames = 0
  const rounds = random.whole(1, 12)
  const share = random.pick([0.003, 0.02, 0.1, 0.5])
  for (let round = 0; round < rounds; round++) {
    const batch = clientFrames(random, random.whole(1, 6), 'none', 0)
    if (random.next() < 0.8) batch.push(send.sync())
    for (const piece of split(random, Buffer.concat(batch), 3)) steps.push({ client: piece.toString('hex') })
    steps.push({ turns: 1 })
    const said = asked
      .read(Buffer.concat(batch))
      .flatMap(({ type, bytes }) => model.answer({ type, bytes, recordedAs: [undefined] }))
    const wrong = said.flatMap((one) => (random.next() < share ? serverDamage(random, one) : [one]))
    if (random.next() < share) wrong.push(serverMessage(random))
    frames += batch.length + wrong.length
    for (const piece of split(random, Buffer.concat(wrong), 5)) {
      steps.push({ server: piece.toString('hex') })
      if (random.next() < 0.2) steps.push({ turns: 1 })
      if (random.next() < 0.03) steps.push(eventStep(random))
    }
  }
  // What is forwarded at once has its place at once: an answer that comes before is early for judge and gate alike.
  const prompt = { durability: 'process', readingTurns: 0, waitEvery: 0 } as const
  return { options: { ...someOptions(random), ...prompt }, steps, frames }
}

export function clientFrames(random: Random, count: number, damage: Damage, share: number): Buffer[] {
  return Array.from({ length: count }, () => {
    const frame = clientFrame(random)
    if (damage === 'none' || random.next() >= share) return frame
    return damage === 'payloads' ? framedDamage(random, frame) : anyDamage(random, frame)
  })
}

const names = ['', '', 'a', 'p', 'c', 'a'.repeat(63), `${'a'.repeat(63)}b`, 'é'] as const

function clientFrame(random: Random): Buffer {
  const name = () => (random.next() < 0.9 ? random.pick(['', 'a', 'p']) : random.pick([...names]))
  switch (random.whole(0, 17)) {
    case 0:
    case 1:
    case 2:
      return send.query(someSql(random))
    case 3:
    case 4:
    case 5:
      return send.parse(name(), someSql(random))
    case 6:
    case 7:
    case 8:
      return send.bind(
        name(),
        name(),
        random.next() < 0.1 ? [randomBytes(random, random.whole(0, 3000))] : [],
      )
    case 9:
    case 10:
      return send.execute(name(), random.whole(0, 2))
    case 11:
    case 12:
      return send.sync()
    case 13:
      return send.flush()
    case 14:
      return send.describe(random.pick(['S', 'P']), name())
    case 15:
      return send.close(random.pick(['S', 'P']), name())
    case 16:
      return random.pick([
        send.copyData('1\n'),
        send.copyData(Buffer.alloc(5000, 0x31)),
        send.copyDone(),
        send.copyFail('no'),
      ])
    default:
      return random.next() < 0.9
        ? message(frontend.functionCall, int32(1598), Buffer.alloc(6))
        : random.pick([send.terminate(), message(frontend.password, Buffer.from('x\0'))])
  }
}

function someSql(random: Random): string {
  const one = random.pick(statements)
  const text =
    random.next() < 0.15
      ? [one, random.pick(statements), random.pick(statements)].filter(Boolean).join('; ')
      : one
  return random.next() < 0.2 ? `${text} /*${'x'.repeat(random.whole(1, 3000))}*/` : text
}

function answerStep(random: Random): Step {
  return { answer: random.pick([1, 1, 2, 5, 1000]), cut: random.pick([1, 3, 7, 50, 4096, 65_536]) }
}

function eventStep(random: Random): Step {
  switch (random.whole(0, 15)) {
    case 0:
    case 1:
      return { cancel: true }
    case 2:
    case 3:
    case 4:
      return { slow: random.pick(['client', 'server']), is: true }
    case 5:
    case 6:
    case 7:
      return { slow: random.pick(['client', 'server']), is: false }
    case 8:
    case 9:
      return { verdict: random.pick(['block', 'hold', 'throttle']), cancelRunning: random.next() < 0.5 }
    case 10:
    case 11:
    case 12:
      return { verdict: 'none' }
    case 13:
      return random.next() < 0.2 ? { drain: true } : { turns: 5 }
    case 14:
      return random.next() < 0.2 ? { recording: false } : { recording: true }
    default:
      return random.next() < 0.3
        ? { lost: random.pick(['client', 'server']) }
        : { verdict: random.next() < 0.1 ? 'kill' : 'none' }
  }
}

function someOptions(random: Random): ScriptOptions {
  const often = random.next()
  if (often < 0.4) return plainOptions
  return {
    durability: random.pick(['process', 'disk']),
    caps: random.pick([
      {},
      {},
      { rowsPerStatement: 5 },
      { bytesPerStatement: 60 },
      { rowsPerWindow: 1 },
      { bytesPerWindow: 1 },
      { commandsPerSecond: 1 },
    ]),
    timeouts: random.next() < 0.9 ? {} : random.pick([{ statementMs: 50 }, { idleInTransactionMs: 50 }]),
    statementBytesMax: random.pick([65_536, 65_536, 1500]),
    readingTurns: random.pick([0, 1, 4]),
    cancelTurns: random.whole(0, 4),
    waitEvery: random.pick([0, 5, 20]),
  }
}

/** A damaged message of the server's, or what may stand in its place. */
function serverDamage(random: Random, said: Buffer): Buffer[] {
  switch (random.whole(0, 6)) {
    case 0:
      return []
    case 1:
      return [said, said]
    case 2:
      return [serverMessage(random), said]
    case 3:
    case 4:
      return [framedDamage(random, said)]
    default:
      return [anyDamage(random, said)]
  }
}

/** Any message that a server might send at the wrong time, with what must not be seen in it. */
function serverMessage(random: Random): Buffer {
  const { user, host, port, password } = secrets
  const said = {
    S: 'ERROR',
    V: 'ERROR',
    C: '42501',
    M: `"${user}" at ${host}:${port} (${host}) with ${password}`,
    D: `privileges for role ${user}`,
    R: 'x',
  }
  switch (random.whole(0, 5)) {
    case 0:
      return errorResponse({ ...said, S: random.pick(['ERROR', 'FATAL', 'PANIC']) })
    case 1:
      return fieldsMessage(backend.notice, said)
    case 2:
      return parameterStatus(
        random.pick(['session_authorization', 'client_encoding', 'x']),
        random.pick([user, 'SJIS', '']),
      )
    case 3:
      return message(backend.backendKeyData, int32(4711), randomBytes(random, 4))
    case 4:
      return message(backend.authentication, int32(random.pick([0, 3, 5, 10])))
    default:
      return message(
        random.pick([...everyType] as [number, ...number[]]),
        randomBytes(random, random.whole(0, 20)),
      )
  }
}

const everyType = [...Object.values(backend), 0, 1, 0x21, 0x7a, 0xff]
