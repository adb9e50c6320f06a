/** pgx: a Go module has its tests with it. */
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { command, type DriverSuite, must, readGoTest } from './driver-suite.ts'

const module = 'github.com/jackc/pgx/v5'
const roles = ['pgx_ssl', 'pgx_sslcert', 'pgx_md5', 'pgx_pw', 'pgx_scram', ' tricky, \' } " \\ test user ']

export const pgx: DriverSuite = {
  name: 'pgx',
  version: '5.13.0',
  async install(dir) {
    const found = await must('go', ['mod', 'download', '-json', `${module}@v5.13.0`], dir)
    cpSync((JSON.parse(found) as { Dir: string }).Dir, join(dir, 'pgx'), { recursive: true })
    await must('chmod', ['-R', 'u+w', join(dir, 'pgx')], dir)
    await must('go', ['test', '-vet=off', '-run', 'NONE', './...'], join(dir, 'pgx'))
  },
  /** testsetup/postgresql_setup.sql. */
  async prepare(postgres) {
    await postgres.query('create database pgx_test')
    for (const extension of ['hstore', 'ltree'])
      await postgres.query(`create extension ${extension}`, [], 'pgx_test')
    await postgres.query('create domain uint64 as numeric(20,0)', [], 'pgx_test')
    for (const role of roles)
      await postgres.query(`create user "${role.replaceAll('"', '""')}" with superuser password 'secret'`)
  },
  async run(dir, { host, port, user, password }) {
    const since = performance.now()
    const where = `host=${host} port=${port} user=${user} password=${password} dbname=pgx_test sslmode=disable`
    const { stdout } = await command('go', ['test', '-vet=off', '-count=1', '-p', '1', '-json', './...'], {
      cwd: join(dir, 'pgx'),
      env: { PGX_TEST_DATABASE: where, PGX_TEST_TCP_CONN_STRING: where },
    })
    return { results: readGoTest(stdout, module), seconds: (performance.now() - since) / 1000 }
  },
  explanations: [
    {
      test: 'pgconn TestConnectProtocolVersion32',
      why: 'expects the short cancel key of protocol 3.0 from a server that says it is of version 15; the gate speaks 3.2 by itself, whatever the server does',
    },
  ],
}
