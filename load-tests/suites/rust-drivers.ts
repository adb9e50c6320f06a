/** tokio-postgres and postgres: crates with their tests, which have port, user and no password in their source. */
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Postgres } from '@portcullis/testkit/postgres'
import { command, type DriverSuite, must, readCargoTest } from './driver-suite.ts'
import type { SuiteRun, Way } from './side-by-side.ts'

const roleLogins = [
  'plain_password_ok',
  'md5_password_ok',
  'scram_password_ok',
  'runtime::host_only_ok',
  'runtime::hostaddr_only_ok',
  'runtime::hostaddr_and_host_ok',
]
const wrongPasswords = ['plain_password_wrong', 'md5_password_wrong', 'scram_password_wrong']

export const tokioPostgres: DriverSuite = {
  name: 'tokio-postgres',
  version: '0.7.18',
  install: (dir) => install(dir, 'tokio-postgres', '0.7.18'),
  prepare,
  run: (dir, way) => cargoTest(dir, ['tests/test/main.rs', 'tests/test/runtime.rs'], ['--test', 'test'], way),
  explanations: [
    ...roleLogins.map((test) => ({
      test,
      why: 'signs in as a role of the server with its password; at the gate the user name is a target and the password a token',
    })),
    ...wrongPasswords.map((test) => ({
      test,
      why: 'expects SQLSTATE 28P01; the gate refuses every login with 28000, so that nobody learns what was wrong',
    })),
  ],
}

export const rustPostgres: DriverSuite = {
  name: 'rust-postgres',
  version: '0.19.14',
  install: (dir) => install(dir, 'postgres', '0.19.14'),
  prepare,
  run: (dir, way) => cargoTest(dir, ['src/test.rs'], ['--lib'], way),
  explanations: [],
}

/** What the project's own docker image sets up. */
async function prepare(postgres: Postgres): Promise<void> {
  for (const role of ['pass_user', 'md5_user', 'scram_user', 'ssl_user'])
    await postgres.query(`create role ${role} login password 'password'`)
  for (const extension of ['hstore', 'citext', 'ltree']) await postgres.query(`create extension ${extension}`)
}

async function install(dir: string, name: string, version: string): Promise<void> {
  // Cargo unpacks what some package needs.
  await must('cargo', ['init', '--quiet', '--vcs', 'none', '--name', 'fetcher', 'fetcher'], dir)
  await must('cargo', ['add', '--quiet', `${name}@=${version}`], join(dir, 'fetcher'))
  const metadata = await must('cargo', ['metadata', '--format-version', '1'], join(dir, 'fetcher'))
  const { packages } = JSON.parse(metadata) as { packages: { name: string; manifest_path: string }[] }
  const manifest = packages.find((one) => one.name === name)?.manifest_path ?? ''
  cpSync(join(manifest, '..'), join(dir, 'original'), { recursive: true })
  cpSync(join(dir, 'original'), join(dir, 'crate'), { recursive: true })
  // A workspace of its own, wherever it lies.
  const toml = join(dir, 'crate/Cargo.toml')
  writeFileSync(toml, `${readFileSync(toml, 'utf8')}\n[workspace]\n`)
}

async function cargoTest(
  dir: string,
  files: readonly string[],
  which: readonly string[],
  way: Way,
): Promise<SuiteRun> {
  for (const file of files) {
    const text = readFileSync(join(dir, 'original', file), 'utf8')
    const edited = text
      .replaceAll(/\bport=5433 user=postgres\b/g, `port=${way.port} user=postgres password=${way.password}`)
      .replaceAll(/(?<!password=)\buser=postgres(?! password)/g, `user=postgres password=${way.password}`)
      .replaceAll(/\b5433\b/g, String(way.port))
    writeFileSync(join(dir, 'crate', file), edited)
  }
  const cwd = join(dir, 'crate')
  const features = readdirSync(join(cwd, 'src')).length > 0 ? ['--all-features'] : []
  await must('cargo', ['test', '--quiet', ...features, ...which, '--no-run'], cwd)
  const since = performance.now()
  const { stdout } = await command(
    'cargo',
    ['test', ...features, ...which, '--', '--test-threads=2', '--format=pretty'],
    { cwd },
  )
  return { results: readCargoTest(stdout), seconds: (performance.now() - since) / 1000 }
}
