/** The judges must see what they are for: each fault, planted. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSqlAnalyzer } from '@portcullis/sql'
import { createReadText } from '../../protocols/postgres/read-text.ts'
import { backend, errorResponse, message, parameterStatus } from '../../protocols/postgres/wire.ts'
import { send } from '../raw-client.ts'
import { ClientWire, secrets } from './client-wire.ts'
import { ModelServer } from './model-server.ts'
import { Placement } from './placement.ts'
import { ServerWire } from './server-wire.ts'
import { Trail } from './trail.ts'

async function recorded(
  sql: string,
  steps: { readonly commit: boolean; readonly grant: boolean },
): Promise<string[]> {
  const faults: string[] = []
  const fault = (what: string) => void faults.push(what)
  const trail = new Trail('process', fault)
  const analyzer = await createSqlAnalyzer({ cacheEntries: 10, cacheBytesMax: 1 << 20 })
  const bytes = Buffer.from(sql)
  const [analysis] = await trail.watch(createReadText(analyzer, {}), 0).analyze(bytes, 0, bytes.length)
  await analyzer.close()
  assert.ok(analysis)
  const decision = {
    id: 'g1',
    action: 'allow',
    reason: '',
    rule: '',
    verdictId: '',
    approvalId: '',
    policyVersion: '',
    enforced: true,
    delayUs: 0,
  } as const
  trail.intent({ sessionId: 's', number: 1, analysis, decision, startedAt: 0, attributes: {} })
  if (steps.grant) trail.granted.push({ entries: trail.entries, adopts: false, describes: false })
  if (steps.commit) trail.commit()
  new ServerWire(trail, (id) => id === 'g1', fault).written(send.query('select 1'))
  return faults
}

test('a query is good only behind the committed record of exactly its text', async () => {
  assert.deepEqual(await recorded('select 1', { commit: true, grant: true }), [])
  assert.match(
    (await recorded('select 1', { commit: false, grant: true })).join(),
    /before its record was committed/,
  )
  assert.match((await recorded('select 1', { commit: true, grant: false })).join(), /forwarded unrecorded/)
  assert.match((await recorded('select 2', { commit: true, grant: true })).join(), /forwarded unrecorded/)
})

test('a Describe is good only where the gate has decided it', () => {
  const faults: string[] = []
  const fault = (what: string) => void faults.push(what)
  const trail = new Trail('process', fault)
  const wire = new ServerWire(trail, () => false, fault)
  trail.granted.push({ entries: [], adopts: false, describes: true })
  wire.written(send.describe('S', 'a'))
  assert.deepEqual(faults, [])
  wire.written(send.describe('S', 'a'))
  assert.match(faults.join(), /described undecided/)
})

test("the gate's own failing message needs an id that it has given out", () => {
  const faults: string[] = []
  const fault = (what: string) => void faults.push(what)
  const wire = new ServerWire(new Trail('process', fault), (id) => id === 'g1', fault)
  wire.written(send.query('PORTCULLIS REFUSED g1'))
  assert.deepEqual(faults, [])
  wire.written(send.query('PORTCULLIS REFUSED g2'))
  assert.equal(faults.length, 1)
})

test('of what comes to the client only what had its place is good, and no secret', () => {
  const { user, password } = secrets
  const tells = (bytes: Buffer, placed: Buffer[] = []) => {
    const faults: string[] = []
    const wire = new ClientWire((what) => void faults.push(what), true)
    for (const one of placed) wire.placed({ type: one[0] as number, bytes: one })
    wire.written(bytes)
    return faults.length
  }
  const done = message(backend.commandComplete, Buffer.from('SELECT 1\0'))
  const leak = errorResponse({ S: 'ERROR', C: '42501', M: `with ${password}` })
  const setting = parameterStatus('session_authorization', user)
  assert.equal(tells(done, [done]), 0)
  assert.equal(tells(done), 1)
  assert.equal(tells(done.subarray(0, 7)), 1)
  assert.equal(tells(leak, [leak]), 1)
  assert.equal(tells(setting, [setting]), 1)
  assert.equal(
    tells(Buffer.concat([errorResponse({ S: 'ERROR', C: '42601', M: 'x' }), done]), [
      errorResponse({ S: 'ERROR', C: '42601', M: 'x' }),
      done,
    ]),
    1,
  )
})

test('an answer has its place where its message was forwarded, and none is left after one that had none', () => {
  const placement = new Placement()
  placement.forwarded(0x50)
  assert.equal(placement.takes(backend.bindComplete, ''), false)
  assert.equal(placement.takes(backend.parseComplete, ''), false)
})

test('the model says what was recorded as another text', () => {
  const said: string[] = []
  const model = new ModelServer((what) => void said.push(what))
  const ask = (bytes: Buffer, recordedAs: (string | undefined)[]) =>
    model.answer({ type: bytes[0] as number, bytes, recordedAs })
  ask(send.parse('a', 'select 1'), ['select 1'])
  ask(send.bind('', 'a'), ['select 1'])
  assert.deepEqual(said, [])
  ask(send.bind('', 'a'), ['delete from t'])
  assert.equal(said.length, 1)
})
