/**
 * A refusal leaves the transaction as a server's error would. The oracle: the same bytes sent to the server itself,
 * with a statement that fails in the place of the refused one, leave the same table and the same sequence of replies.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startBed } from '../../testing/bed.ts'
import { RawClient, send } from '../../testing/raw-client.ts'

/** Longer than the bed's statementBytesMax, so the gate refuses it wherever it stands. */
const refused = `insert into t values (99, '${'x'.repeat(600)}')`
/** What the server itself fails: when it parses, and when it runs. */
const failsAtParse = 'insert into no_such_table values (99)'
const failsAtRun = 'insert into t values (99/0)'

const insert = (n: number) => `insert into t values (${n})`
const extended = (name: string, sql: string) => [send.parse(name, sql), send.bind('', name), send.execute('')]

/** Each inner array is sent at once; the next when the ReadyForQuery it asks for have come. */
const scripts: Record<string, (bad: string) => Buffer[][]> = {
  'simple, alone': (bad) => [[send.query(bad)], [send.query(insert(1))]],
  'simple, in a block, then commit': (bad) => [
    [send.query('begin')],
    [send.query(insert(1))],
    [send.query(bad)],
    [send.query(insert(2))],
    [send.query('commit')],
  ],
  'simple, first in a block': (bad) => [
    [send.query('begin')],
    [send.query(bad)],
    [send.query('commit')],
    [send.query(insert(3))],
  ],
  'simple, in a failed block': (bad) => [
    [send.query('begin')],
    [send.query('select 1/0')],
    [send.query(bad)],
    [send.query('rollback')],
  ],
  savepoint: (bad) => [
    [send.query('begin')],
    [send.query(insert(1))],
    [send.query('savepoint a')],
    [send.query(bad)],
    [send.query('rollback to savepoint a')],
    [send.query(insert(2))],
    [send.query('commit')],
  ],
  'simple, several statements': (bad) => [
    [send.query(`${insert(1)}; ${bad}; ${insert(2)}`)],
    [send.query(insert(5))],
  ],
  'simple, pipelined in a block': (bad) => [
    [
      send.query('begin'),
      send.query(insert(1)),
      send.query(bad),
      send.query(insert(2)),
      send.query('commit'),
    ],
  ],
  'simple, pipelined alone': (bad) => [[send.query(insert(1)), send.query(bad), send.query(insert(2))]],
  'extended, alone': (bad) => [
    [...extended('', bad), send.sync()],
    [...extended('', insert(1)), send.sync()],
  ],
  'extended, first in a batch': (bad) => [[...extended('', bad), ...extended('', insert(1)), send.sync()]],
  'extended, in the middle of a batch': (bad) => [
    [...extended('', insert(1)), ...extended('', bad), ...extended('', insert(2)), send.sync()],
    [...extended('', insert(3)), send.sync()],
  ],
  'extended, last in a batch': (bad) => [
    [...extended('', insert(1)), ...extended('', insert(2)), ...extended('', bad), send.sync()],
  ],
  'extended, in a block': (bad) => [
    [...extended('', 'begin'), send.sync()],
    [...extended('', insert(1)), send.sync()],
    [...extended('', bad), send.sync()],
    [...extended('', insert(2)), send.sync()],
    [...extended('', 'commit'), send.sync()],
  ],
  'extended, block and all in one pipeline of batches': (bad) => [
    [
      ...extended('', 'begin'),
      send.sync(),
      ...extended('', insert(1)),
      send.sync(),
      ...extended('', bad),
      send.sync(),
      ...extended('', insert(2)),
      send.sync(),
      ...extended('', 'commit'),
      send.sync(),
    ],
  ],
  'extended, two batches in one write': (bad) => [
    [...extended('', insert(1)), ...extended('', bad), send.sync(), ...extended('', insert(2)), send.sync()],
  ],
  'extended, a name that was refused is not there': (bad) => [
    [send.parse('s', bad), send.sync()],
    [send.bind('', 's'), send.execute(''), send.sync()],
    [...extended('', insert(4)), send.sync()],
  ],
  'simple after an open batch': (bad) => [
    [...extended('', insert(1)), send.query(bad)],
    [send.query(insert(2))],
  ],
  'copy in, refused': (bad) => [
    [send.query(bad)],
    [send.query('copy t from stdin')].concat([send.copyData('7\tseven\n'), send.copyDone()]),
  ],
}

let postgres: Started<Postgres>
before(async () => {
  postgres = await startPostgres({ auth: 'password' })
})
after(() => postgres.stop())

for (const durability of ['process', 'disk'] as const) {
  for (const split of ['whole', 'split'] as const) {
    test(`refusals leave what a server's error would leave (${durability}, ${split})`, async (t) => {
      const bed = await startBed({ postgres: postgres.value, durability, statementBytesMax: 500 })
      try {
        for (const [name, script] of Object.entries(scripts)) {
          await t.test(name, async () => {
            const { user, password, port, database } = postgres.value
            const ours = await play(
              script(refused),
              () => RawClient.open(bed.value.port, 'shop', 'ann', database),
              split,
            )
            for (const bad of [failsAtParse, failsAtRun]) {
              const theirs = await play(
                script(bad),
                () => RawClient.open(port, user, password, database),
                'whole',
              )
              assert.deepEqual(ours.table, theirs.table, `table after a failure of ${bad}`)
              // Of several statements in one message the gate runs none; the server runs those before the failing one.
              const early = name === 'simple, several statements' ? ['C:INSERT 0 1'] : []
              if (bad === failsAtParse) assert.deepEqual([...early, ...ours.replies], theirs.replies)
            }
            assert.ok(ours.replies.some((reply) => reply === 'E'))
          })
        }
        const open = bed.value.commands.filter(({ result }) => !result)
        assert.deepEqual(
          open.map(({ text }) => text),
          [],
          'every command has its outcome',
        )
        const refusals = bed.value.commands.filter(({ result }) => result?.outcome === 'refused')
        assert.ok(refusals.length >= Object.keys(scripts).length)
      } finally {
        await bed.stop()
      }
    })
  }
}

async function play(script: Buffer[][], open: () => Promise<RawClient>, split: 'whole' | 'split') {
  await postgres.value.query('drop table if exists t; create table t (a int, b text)')
  const client = await open()
  client.take()
  const replies: string[] = []
  for (const messages of script) {
    const bytes = Buffer.concat(messages)
    const readies = messages.filter(([type]) => type === 0x51 || type === 0x53).length
    if (split === 'whole') client.write(bytes)
    else {
      for (let at = 0; at < bytes.length; at += 7) {
        client.write(bytes.subarray(at, at + 7))
        if (at % 3 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
    }
    await client.ready(readies)
    // What differs by design: the SQLSTATE of the refusal, and the text of errors.
    replies.push(...client.summary(client.take()).map((reply) => (reply.startsWith('E') ? 'E' : reply)))
  }
  client.end()
  const { rows } = await postgres.value.query('select a from t order by a')
  return { table: rows, replies }
}
