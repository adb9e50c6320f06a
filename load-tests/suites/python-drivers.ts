/** asyncpg and psycopg2: the wheel from PyPI, and the tests of the same version's source package, run by pytest. */
import { cpSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { command, type DriverSuite, must, readJunit } from './driver-suite.ts'
import type { SuiteRun, Way } from './side-by-side.ts'

const tools = ['pytest==9.0.1', 'pytest-timeout==2.4.0', 'distro==1.9.0']

export const asyncpg: DriverSuite = {
  name: 'asyncpg',
  version: '0.32.0',
  install: (dir) => install(dir, 'asyncpg', 'asyncpg', '0.32.0'),
  prepare: async () => undefined,
  run: (dir, { host, port, user, password, database, name }) =>
    pytest(dir, name, {
      PGHOST: host,
      PGPORT: String(port),
      PGUSER: user,
      PGPASSWORD: password,
      PGDATABASE: database,
      PGSSLMODE: 'disable',
    }),
  explanations: [],
}

export const psycopg2: DriverSuite = {
  name: 'psycopg2',
  version: '2.9.11',
  install: (dir) => install(dir, 'psycopg2', 'psycopg2-binary', '2.9.11'),
  prepare: async (postgres) => {
    await postgres.query('create database psycopg2_test')
    await postgres.query('create extension hstore', [], 'psycopg2_test')
  },
  run: (dir, { host, port, user, password, name }) =>
    pytest(dir, name, {
      PSYCOPG2_TESTDB: 'psycopg2_test',
      PSYCOPG2_TESTDB_HOST: host,
      PSYCOPG2_TESTDB_PORT: String(port),
      PSYCOPG2_TESTDB_USER: user,
      PGPASSWORD: password,
      PGSSLMODE: 'disable',
    }),
  explanations: [
    ...['tests.test_async.AsyncTests', 'tests.test_green.GreenTestCase'].map((tests) => ({
      test: `${tests}.test_flush_on_write`,
      why: 'sends statements of 1 to 50 MB until one does not go at once; `proxy.statementBytesMax` refuses those over 16 MiB',
      sometimes: true,
    })),
  ],
}

async function install(dir: string, sdist: string, wheel: string, version: string): Promise<void> {
  await must('python3', ['-m', 'venv', 'venv'], dir)
  const pip = (...args: string[]) => must(join(dir, 'venv/bin/pip'), args, dir)
  await pip('install', '--quiet', '--only-binary', ':all:', `${wheel}==${version}`, ...tools)
  // Not `:all:`, which would build what it is built with from source, too.
  await pip('download', '--quiet', '--no-deps', '--no-binary', sdist, `${sdist}==${version}`)
  const tar = readdirSync(dir).find((file) => file.endsWith('.tar.gz')) ?? ''
  await must('tar', ['-xzf', tar], dir)
  // Away from the package's own sources, which are not built and would be imported first.
  cpSync(join(dir, tar.replace('.tar.gz', ''), 'tests'), join(dir, 'tests'), { recursive: true })
}

async function pytest(dir: string, way: Way['name'], env: Record<string, string>): Promise<SuiteRun> {
  const since = performance.now()
  const file = join(dir, `${way}.xml`)
  rmSync(file, { force: true })
  const args = ['-m', 'pytest', 'tests', '-q', '-p', 'no:cacheprovider', '--timeout=60', `--junitxml=${file}`]
  await command(join(dir, 'venv/bin/python'), args, { cwd: dir, env })
  return { results: readJunit(readFileSync(file, 'utf8')), seconds: (performance.now() - since) / 1000 }
}
