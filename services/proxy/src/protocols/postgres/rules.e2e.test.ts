/** The rules' contract at the Postgres door, by each way that clients have to send a statement. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { type Answer, type Deed, type RulesClient, rulesContract } from '@portcullis/testkit/rules-contract'
import pg from 'pg'
import { type Bed, startBed } from '../../testing/bed.ts'
import { readFields } from './wire.ts'
import { startPeople } from '../../testing/people.ts'
import { RawClient, type Reply, send } from '../../testing/raw-client.ts'

const secret = `canary-${randomBytes(8).toString('hex')}`
const deeds: Readonly<Record<Deed, string>> = {
  read: 'select id, secret from things where id < 3',
  readMany: 'select g, g from generate_series(1, 10) g',
  write: 'update things set n = n + 1 where id = 1',
  destroy: 'delete from things where id = 9',
  unreadable: 'do $$ begin delete from things; end $$',
}

let postgres: Promise<Started<Postgres>> | undefined
const beds: Started<unknown>[] = []
after(async () => {
  for (const bed of beds) await bed.stop()
  await (await postgres)?.stop()
})

type Send = (client: pg.Client, text: string) => Promise<{ rows: unknown[] }>

/** Clients that are pg's, each with its way. */
const ways: Readonly<Record<string, Send>> = {
  'the simple protocol': (client, text) => client.query(text),
  'the extended protocol': (client, text) => client.query({ text, values: [] }),
  'statements with a name': (client, text) => client.query({ name: text.slice(0, 20), text }),
}

for (const [name, way] of Object.entries(ways))
  rulesContract(name, () => place((bed, subject) => pgClient(bed, subject, way)), {
    runTogether: way === ways['the simple protocol'],
    prepare: way === ways['statements with a name'],
  })
rulesContract('a pipeline of bare messages', () => place(rawClient), { runTogether: true, prepare: true })

async function place(connect: (bed: Bed, subject: string) => Promise<RulesClient>) {
  postgres ??= startPostgres({ auth: 'password' })
  const server = (await postgres).value
  await server.query(`
    drop table if exists things;
    create table things (id int primary key, n int, secret text);
    insert into things select g, 0, '${secret}' from generate_series(1, 9) g`)
  const people = await startPeople()
  // Refused at once: how long a client waits is another matter.
  people.value.settings.waitSec = 0
  const bed = await startBed({ postgres: server, catalogueRefreshMs: 60_000, holds: people.value.holds })
  beds.push(bed, people)
  let told = 0
  return {
    ...{ secret, secretColumn: 'things.secret', refusedCode: '42501' },
    rule: bed.value.rule,
    judge: (subject: string, action: 'block' | undefined) =>
      bed.value.judge(
        action
          ? [{ action, subject: { kind: 'identity', issuer: 'https://idp.test', id: subject, instance: '' } }]
          : [],
      ),
    record: bed.value.record,
    async approve(approvalId: string) {
      const approval = people.value.all().find((one) => one.approvalId === approvalId)
      assert.ok(approval, 'nobody was asked')
      await people.value.answer(approval)
    },
    connect: (subject: string) => connect(bed.value, subject),
    recorded() {
      const since = bed.value.commands.slice(told)
      told = bed.value.commands.length
      return since.map(({ decision, intent, result }) => ({
        decision,
        attributes: intent.attributes,
        result,
      }))
    },
    async state() {
      const { rows } = await server.query('select id, n from things order by id')
      return JSON.stringify(rows)
    },
  }
}

async function pgClient(bed: Bed, subject: string, way: Send): Promise<RulesClient> {
  const client = await bed.connect(subject)
  const run = async (query: () => Promise<{ rows: unknown[] }>): Promise<Answer> => {
    let count = 0
    const counting = () => (count += 1)
    client.connection.on('dataRow', counting)
    try {
      const { rows } = await query()
      return { shown: JSON.stringify(rows), count: rows.length }
    } catch (error) {
      if (!(error instanceof pg.DatabaseError)) throw error
      return { ...told(error.detail ?? '', error.code ?? ''), shown: String(error), count }
    } finally {
      client.connection.off('dataRow', counting)
    }
  }
  return {
    run: (deed) => run(() => way(client, deeds[deed])),
    runTogether: (several: readonly Deed[]) =>
      run(() => client.query(several.map((deed) => deeds[deed]).join('; '))),
    async prepare(deed: Deed) {
      await client.query(`prepare "ready ${deed}" as ${deeds[deed]}`)
      return () => run(() => client.query(`execute "ready ${deed}"`))
    },
    close: () => client.end(),
  }
}

/** Parse, Bind, Execute and Sync in one piece, several executions in one batch. */
async function rawClient(bed: Bed, subject: string): Promise<RulesClient> {
  const client = await RawClient.open(bed.port, 'shop', subject, 'postgres')
  client.take()
  const play = async (...messages: readonly Buffer[]): Promise<Answer> => {
    client.write(Buffer.concat([...messages, send.sync()]))
    await client.ready(1)
    return answerOf(client.take())
  }
  const whole = (text: string) => [send.parse('', text), send.bind('', ''), send.execute('')]
  return {
    run: (deed) => play(...whole(deeds[deed])),
    runTogether: (several) => play(...several.flatMap((deed) => whole(deeds[deed]))),
    async prepare(deed) {
      await play(send.parse(`ready ${deed}`, deeds[deed]))
      return () => play(send.bind('', `ready ${deed}`), send.execute(''))
    },
    close: async () => client.end(),
  }
}

function answerOf(replies: readonly Reply[]): Answer {
  const shown = replies.map(({ payload }) => payload.toString('latin1')).join()
  const count = replies.filter(({ type }) => type === 'D').length
  const error = replies.find(({ type }) => type === 'E')
  const fields = error && readFields(error.payload)
  return { ...(fields && told(fields.D ?? '', fields.C ?? '')), shown, count }
}

function told(detail: string, code: string): Pick<Answer, 'refused'> {
  const field = (name: string) => new RegExp(`\\b${name}=(\\S+)`).exec(detail)?.[1] ?? ''
  return {
    refused: {
      ...{ reason: field('reason'), decisionId: field('decision'), approvalId: field('approval') },
      ...{ rule: field('rule'), code },
    },
  }
}
