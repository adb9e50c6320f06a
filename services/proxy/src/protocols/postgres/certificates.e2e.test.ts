/** The gate and its targets prove themselves by certificates: pg_hba's `cert` method, and each host by its own name. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Started, UpstreamTls } from '@portcullis/kernel'
import { makeCertificates, type TestCertificates } from '@portcullis/testkit/certificates'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { type Bed, type BedOptions, startBed } from '../../testing/bed.ts'

let byCertificate: Started<Postgres>
let stranger: TestCertificates

before(async () => {
  byCertificate = await startPostgres({ auth: 'cert', ssl: 'required' })
  stranger = makeCertificates()
})
after(() => byCertificate?.stop())

async function withBed(options: BedOptions, work: (bed: Bed) => Promise<void>): Promise<void> {
  const bed = await startBed(options)
  try {
    await work(bed.value)
  } finally {
    await bed.stop()
  }
}

/** The gate's certificate names the role `app`. */
function asApp({ tls }: Postgres, parts: Partial<UpstreamTls> = {}): UpstreamTls {
  assert.ok(tls)
  return { mode: 'verify-full', ca: tls.caPem, cert: tls.client.certPem, key: tls.client.keyPem, ...parts }
}

test('by the cert method the gate signs in with its certificate alone, and cancels as safely', () =>
  withBed(
    {
      postgres: byCertificate.value,
      user: 'app',
      password: '',
      upstreamTls: asApp(byCertificate.value),
      timeouts: { statementMs: 300 },
    },
    async (bed) => {
      const client = await bed.connect()
      const { rows } = await client.query(
        'select current_user as who, client_dn as dn, ssl from pg_stat_ssl where pid = pg_backend_pid()',
      )
      assert.deepEqual(rows, [{ who: 'app', dn: '/CN=app', ssl: true }])
      await assert.rejects(client.query('select pg_sleep(20)'), /statement timeout of the gate/)
      await client.end()
    },
  ))

test("without a certificate, with a stranger's, or for another role: own words, and no other host is tried", async () => {
  const one = byCertificate.value
  const { cert: _, key: __, ...without } = asApp(one)
  const cases: [string, Partial<BedOptions>][] = [
    ['none', { user: 'app', upstreamTls: without }],
    [
      "a stranger's",
      {
        user: 'app',
        upstreamTls: asApp(one, { cert: stranger.client.certPem, key: stranger.client.keyPem }),
      },
    ],
    ["another role's", { user: 'postgres', upstreamTls: asApp(one) }],
  ]
  for (const [name, options] of cases) {
    await withBed({ postgres: one, password: '', ...options }, async (bed) => {
      await assert.rejects(bed.connect(), (error: Error) => {
        assert.match(error.message, /^portcullis: (the gate cannot sign in at )?target "shop"/, name)
        const all = JSON.stringify(error, ['message', 'detail', 'hint', 'code'])
        assert.doesNotMatch(all, /127\.0\.0\.1|postgres|"app"|certificate|pg_hba/, name)
        return true
      })
    })
  }
})

test('verify-full with several hosts: each must have a certificate for its own name', async () => {
  const named = (name: string) => makeCertificates({ caName: `CA of ${name}`, serverNames: [name] })
  const byName = await startPostgres({ ssl: true, certificates: named('localhost') })
  const byAddress = await startPostgres({ ssl: true, certificates: named('127.0.0.1') })
  const ca = [byName, byAddress].map(({ value }) => value.tls?.caPem ?? '').join('')
  const [name, address] = [byName.value.port, byAddress.value.port]
  const dead = { host: 'localhost', port: 1 }
  const cases: [NonNullable<BedOptions['hosts']>, number | undefined][] = [
    [
      [
        { host: 'localhost', port: name },
        { host: '127.0.0.1', port: address },
      ],
      name,
    ],
    [[dead, { host: '127.0.0.1', port: address }], address],
    [[dead, { host: 'localhost', port: name }], name],
    // A name that another host of the same target has is not this one's.
    [[dead, { host: 'localhost', port: address }], undefined],
    [
      [
        { host: '127.0.0.1', port: name },
        { host: 'localhost', port: name },
      ],
      undefined,
    ],
  ]
  try {
    for (const [hosts, port] of cases) {
      await withBed(
        { postgres: byName.value, hosts, upstreamTls: { mode: 'verify-full', ca } },
        async (bed) => {
          if (port === undefined)
            return assert.rejects(bed.connect(), /target "shop" cannot be reached safely/)
          const client = await bed.connect()
          assert.deepEqual((await client.query('select inet_server_port() as port')).rows, [{ port }])
          await client.end()
        },
      )
    }
  } finally {
    await byName.stop()
    await byAddress.stop()
  }
})
