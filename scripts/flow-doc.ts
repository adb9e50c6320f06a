/**
 * Writes docs/flow.md from one real run: the demo is started, a query goes through the gate, the identity's history is
 * published, its credential is hijacked, and what each hop shows is put down as it was. Nothing in it is made up; run it
 * again after a change of what the hops show: node scripts/bootstrap.mjs scripts/flow-doc.ts
 */
import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Demo, startDemo } from '@portcullis/all-in-one/start'
import type { CommandEvent, FindingEvent, Received, SessionEvent, VerdictEvent } from '@portcullis/kernel'
import { topics } from '@portcullis/kernel'
import { createCodecs } from '@portcullis/platform/codec'
import { connectBus } from '@portcullis/platform/connect'
import { findPsql } from '@portcullis/testkit/postgres'
import { root } from './files.ts'

const query = 'select id, name, price_cents from products order by id limit 5'
const theft = 'select * from customers'
const historyMinutes = 2 * 24 * 60
/** Names the recorder of the history, which is no proxy's. */
const historian = 'flow-history'

const codecs = createCodecs()
const psql = findPsql() ?? failWith('psql is not installed: the document shows its output')
const folder = mkdtempSync(join(tmpdir(), 'portcullis-flow-'))
chmodSync(folder, 0o711)
const data = join(folder, 'data')
const quiet = { debug() {}, info() {}, warn() {}, error() {} }

const demo = await startDemo({
  folder: data,
  postgresPort: 0,
  apiPort: 0,
  log: { ...quiet, line() {}, close() {} },
  progress: (what) => console.log(`up: ${what}`),
  signal: new AbortController().signal,
})
const bus = await connectBus(`lmdb:${join(data, 'bus')}`, { logger: quiet })
const seen: Received[] = []
const { sessions, commands, findings, verdicts } = topics
const tail = await bus.value.tail({
  topics: [sessions, commands, findings, verdicts],
  from: 'earliest',
  onBatch: (records) => void seen.push(...records),
})
try {
  writeFileSync(join(root, 'docs/flow.md'), await tellTheStory(demo.value))
  console.log('docs/flow.md is written')
} finally {
  await tail.stop()
  await bus.stop()
  await demo.stop()
  rmSync(folder, { recursive: true, force: true })
}

async function tellTheStory(demo: Demo): Promise<string> {
  const scout = await demo.mint('agent:scout', { groups: ['agents'] })
  await run(demo, scout, query)
  const sample = await event((one) => one.identity.subject === 'agent:scout' && one.text === query)
  await publishHistory(sample.event)

  const token = await demo.mint('agent:demo', { groups: ['agents'] })
  const answer = await run(demo, token, query)
  const { event: command, record } = await event(
    (one) =>
      one.identity.subject === 'agent:demo' && one.text === query && !one.eventId.startsWith(historian),
  )
  const opened = await first<SessionEvent>(
    sessions,
    codecs.session.decode,
    (one) => one.sessionId === command.sessionId,
  )

  let refusal = ''
  let attempts = 0
  while (!refusal) {
    attempts += 1
    if (attempts > 5000) failWith('the analyzer raised no block')
    const output = await run(demo, token, theft)
    if (output.includes('ERROR')) refusal = output
  }
  const block = await first<VerdictEvent>(verdicts, codecs.verdict.decode, (one) => one.action === 'block')
  const throttle = seenOf<VerdictEvent>(verdicts, codecs.verdict.decode).find(
    ({ action }) => action === 'throttle',
  )
  const found = seenOf<FindingEvent>(findings, codecs.finding.decode).filter(
    ({ identity }) => identity.subject === 'agent:demo',
  )
  const refused = await event((one) => one.identity.subject === 'agent:demo' && one.outcome === 'refused')
  const listed = await trail(demo, `identity=${encodeURIComponent(keyOf(command))}&limit=1`)

  return `# One query, seven hops

<!-- Written by scripts/flow-doc.ts from a real run. Do not edit: run it again. -->

What happens between an agent's \`psql\` and its answer, and what happens when the same token starts to behave unlike
itself. Every block below is the output of one run of \`npm start\` on an ordinary machine; tokens are shortened.

\`\`\`
psql "postgres://shop:TOKEN@${demo.postgresDoor}/shop" -c "${query}"
${answer.trimEnd()}
\`\`\`

## 1. The listener accepts, the handshake makes a session

\`services/proxy/src/listener.ts\`, \`protocols/postgres/\`: the password is a token; its issuer's keys prove it, its groups
open the target. That it was opened is recorded before the client may speak, and is on the bus as \`${sessions}\`, keyed
by session:

${json(pick(opened, ['phase', 'sessionId', 'identity', 'target', 'role', 'database', 'origin', 'proxy']))}

## 2. Framing turns bytes into a command

The bytes of the Query message stay as they are and will be forwarded as they are. PostgreSQL's own grammar
(\`packages/sql\`) says what they do to the world:

${json(pick(command, ['commandId', 'text', 'verb', 'effects', 'objects', 'privileged', 'fingerprint']))}

## 3. The gate decides, records, forwards

\`services/proxy/src/gate.ts\` has the one order. The decision:

${json(command.decision)}

The record is one append to the process's own segment file, before the first byte goes to the target:

\`\`\`
${segments()}
\`\`\`

and what came back is counted on the way:

${json(pick(command, ['outcome', 'tag', 'rowsOut', 'bytesIn', 'bytesOut', 'durationUs']))}

## 4. The shipper publishes

Off the hot path. Avro in single-object encoding, ${record.value?.length ?? 0} bytes, on \`${record.topic}\`, partition ${record.partition}, offset ${record.offset},
keyed \`${record.key}\`, so one identity's commands stay in order. The chain makes a missing or altered event show:

${json({ eventId: command.eventId, link: command.link })}

## 5. The analyzer judges against what was normal before

The identity has a history of one such query a minute for two days. Now its token is used to read all customers, again
and again. Findings (\`${findings}\`):

${json(found.slice(0, 3).map((one) => pick(one, ['detector', 'feature', 'severity', 'score', 'observed', 'expected', 'unit', 'explanation'])))}

## 6. Verdicts on the bus

${throttle ? `First the throttle, then, since a second and independent sign came or the pressure lasted, the block` : 'The block'} (\`${verdicts}\`, read in full by every proxy):

${json([throttle, block].flatMap((one) => (one ? [pick(one, ['verdictId', 'action', 'subject', 'issuedAt', 'until', 'ratePerMinute', 'reason', 'explanation'])] : [])))}

## 7. The next command is refused, in the client's language

After ${attempts - 1} thefts that were let through or slowed:

\`\`\`
${refusal.trimEnd()}
\`\`\`

and the refusal is a command of the trail like any other:

${json(pick(refused.event, ['commandId', 'text', 'outcome', 'errorCode', 'decision']))}

## Beside the road: the trail

The projector writes to ClickHouse; \`GET /v1/commands\` reads it:

${json(listed)}
`
}

/** psql as the agent of this token runs it; output and error text together. */
function run(demo: Demo, token: string, sql: string): Promise<string> {
  const url = `postgres://${demo.target}:${token}@${demo.postgresDoor}/${demo.database}`
  return new Promise((resolve) => {
    execFile(psql, [url, '-c', sql], { maxBuffer: 64 * 1024 * 1024 }, (_, stdout, stderr) =>
      resolve(stdout + stderr),
    )
  })
}

/** What the identity did in the two days before, as if the gate had recorded it. */
async function publishHistory(sample: CommandEvent): Promise<void> {
  const startUs = Date.now() * 1000 - historyMinutes * 60_000_000
  const records = Array.from({ length: historyMinutes - 1 }, (_, minute) => {
    const happened: CommandEvent = {
      ...sample,
      eventId: `${historian}.${minute}`,
      commandId: `${historian}.${minute}`,
      sessionId: `${historian}-${Math.floor(minute / 60)}`,
      link: { ...sample.link, recorder: historian, seq: minute + 1 },
      identity: {
        ...sample.identity,
        subject: 'agent:demo',
        instance: `${historian}-${Math.floor(minute / 60)}`,
      },
      startedAt: startUs + minute * 60_000_000 + (minute % 7) * 900_000,
    }
    return { topic: commands, key: keyOf(happened), value: codecs.command.encode(happened) }
  })
  await bus.value.publish(records)
  // The analyzer folds some thousand events a second.
  await delay(5000)
}

function keyOf({ identity }: CommandEvent): string {
  return `${identity.issuer}|${identity.subject}`
}

function seenOf<T>(topic: string, decode: (bytes: Uint8Array) => T): T[] {
  return seen.flatMap((record) => (record.topic === topic && record.value ? [decode(record.value)] : []))
}

async function first<T>(
  topic: string,
  decode: (bytes: Uint8Array) => T,
  wanted: (one: T) => boolean,
): Promise<T> {
  return await waitFor(() => seenOf(topic, decode).find(wanted), topic)
}

/** The finished event of a command, with the record that carried it. */
async function event(
  wanted: (one: CommandEvent) => boolean,
): Promise<{ event: CommandEvent; record: Received }> {
  return await waitFor(() => {
    for (const record of seen) {
      if (record.topic !== commands || !record.value) continue
      const event = codecs.command.decode(record.value)
      if (event.phase === 'finished' && wanted(event)) return { event, record }
    }
    return undefined
  }, commands)
}

async function waitFor<T>(find: () => T | undefined, what: string): Promise<T> {
  for (let waitedMs = 0; waitedMs < 30_000; waitedMs += 100) {
    const found = find()
    if (found !== undefined) return found
    await delay(100)
  }
  return failWith(`nothing came on ${what} within 30 s`)
}

async function trail(demo: Demo, parameters: string): Promise<unknown> {
  await delay(2000)
  const response = await fetch(`${demo.apiUrl}/v1/commands?${parameters}`, {
    headers: { authorization: `Bearer ${demo.apiToken}` },
  })
  return await response.json()
}

/** The segment files of the proxy, as they lie in the data folder. */
function segments(): string {
  const lines = readdirSync(data, { recursive: true, encoding: 'utf8' })
    .filter((path) => /seg-\d+\.log$/.test(path) && statSync(join(data, path)).isFile())
    .map((path) => `${String(statSync(join(data, path)).size).padStart(8)} bytes  .portcullis/${path}`)
  return lines.join('\n')
}

function pick<T extends object, K extends keyof T>(from: T, keys: readonly K[]): Pick<T, K> {
  return Object.fromEntries(keys.map((key) => [key, from[key]])) as Pick<T, K>
}

/** Bytes as hex, tokens never: no event holds one. */
function json(value: unknown): string {
  const text = JSON.stringify(
    value,
    (_, part) => (part instanceof Uint8Array || part?.type === 'Buffer' ? hex(part) : part),
    2,
  )
  return `\`\`\`json\n${text}\n\`\`\``
}

function hex(part: Uint8Array | { data: number[] }): string {
  return Buffer.from('data' in part ? part.data : part).toString('hex')
}

function failWith(message: string): never {
  throw new Error(message)
}
