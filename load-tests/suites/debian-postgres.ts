/**
 * One release of PostgreSQL with its own test suites, from Debian's archive: server, client and the suites' runners from
 * its binary packages, the tests from its source package, and their C parts built from there. All of it lies in
 * node_modules/.cache; the system's apt lists, sources and packages stay as they are.
 */
import { execFile, execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type PostgresBinaries, reachableCopy } from '@portcullis/testkit/postgres-binaries'
import type { PgSuite } from './pg-regress.ts'

const run = promisify(execFile)
const source = 'postgresql-15'
const packages = [source, 'postgresql-client-15', 'postgresql-server-dev-15', 'libpq5', 'libpq-dev']
const installed = 'usr/lib/postgresql/15'
const folders = [
  'src/test/regress',
  'src/test/isolation',
  'src/pl/plpgsql/src',
  'src/test/modules/libpq_pipeline',
]
const cache = join(import.meta.dirname, '../../node_modules/.cache')

export interface DebianPostgres {
  /** As Debian names it, such as 15.18-0+deb12u1. */
  readonly version: string
  readonly binaries: PostgresBinaries
  readonly suites: readonly PgSuite[]
  /** The program of src/test/modules/libpq_pipeline, and the traces that it is to write. */
  readonly pipeline: { readonly program: string; readonly tracesDir: string }
  readonly libDir: string
}

/** Fetches, unpacks and builds once (about 90 MB). Throws with apt's or gcc's words where one of them fails. */
export async function debianPostgres(): Promise<DebianPostgres> {
  const home = join(cache, source)
  if (!existsSync(home)) await make(home)
  const [version = ''] = readdirSync(join(home, 'version'))
  const root = reachableCopy(home, `debian-${version}`)
  const bin = join(root, 'packages', installed)
  const runners = join(bin, 'lib/pgxs/src/test')
  const suite = (folder: string) => join(root, 'suites/src', folder)
  const plpgsql = readdirSync(join(suite('pl/plpgsql/src'), 'sql')).map((file) => file.replace('.sql', ''))
  return {
    version,
    binaries: {
      binDir: join(bin, 'bin'),
      env: { LD_LIBRARY_PATH: libpqDir(join(root, 'packages')) },
      label: `debian-${version}`,
    },
    libDir: join(root, 'lib'),
    pipeline: {
      program: join(root, 'lib/libpq_pipeline'),
      tracesDir: join(suite('test/modules/libpq_pipeline'), 'traces'),
    },
    suites: [
      {
        name: 'regress',
        runner: join(runners, 'regress/pg_regress'),
        dir: suite('test/regress'),
        tests: { schedule: 'parallel_schedule' },
      },
      {
        name: 'plpgsql',
        runner: join(runners, 'regress/pg_regress'),
        dir: suite('pl/plpgsql/src'),
        tests: plpgsql,
      },
      {
        name: 'isolation',
        runner: join(runners, 'isolation/pg_isolation_regress'),
        dir: suite('test/isolation'),
        tests: { schedule: 'isolation_schedule' },
      },
    ],
  }
}

function libpqDir(packagesDir: string): string {
  const lib = join(packagesDir, 'usr/lib')
  return join(lib, readdirSync(lib).find((name) => name.endsWith('-linux-gnu')) ?? '')
}

async function make(home: string): Promise<void> {
  const draft = `${home}.draft`
  rmSync(draft, { recursive: true, force: true })
  const [fetched, unpacked, suites, lib] = ['fetched', 'packages', 'suites', 'lib'].map((name) => {
    const dir = join(draft, name)
    mkdirSync(dir, { recursive: true })
    return dir
  }) as [string, string, string, string]
  const version = await fetchAll(fetched)
  mkdirSync(join(draft, 'version', version), { recursive: true })
  const files = readdirSync(fetched)
  for (const deb of files.filter((name) => name.endsWith('.deb')))
    await run('dpkg-deb', ['--extract', join(fetched, deb), unpacked])
  const tar = files.find((name) => name.includes('.orig.tar.')) ?? ''
  const only = ['--strip-components=1', '--wildcards', ...folders.map((folder) => `postgresql-*/${folder}/*`)]
  await run('tar', ['-xf', join(fetched, tar), '-C', suites, ...only])
  await build(unpacked, suites, lib)
  rmSync(fetched, { recursive: true, force: true })
  renameSync(draft, home)
}

/** Into `dir`; returns the version, the newest whose binary and source packages lie in the same archive. */
async function fetchAll(dir: string): Promise<string> {
  // Debian's security archive is not always served with its sources.
  const list = [
    '--format',
    'deb $(REPO_URI) $(RELEASE) $(COMPONENT)',
    'Created-By: Packages',
    'Label: Debian',
  ]
  const entries = execFileSync('apt-get', ['indextargets', ...list], { encoding: 'utf8' })
    .trim()
    .split('\n')
  const sources = [...new Set(entries)].flatMap((entry) => [entry, entry.replace('deb', 'deb-src')])
  writeFileSync(join(dir, 'sources.list'), `${sources.join('\n')}\n`)
  mkdirSync(join(dir, 'lists/partial'), { recursive: true })
  mkdirSync(join(dir, 'cache/archives/partial'), { recursive: true })
  const own = [
    `Dir::Etc::SourceList=${join(dir, 'sources.list')}`,
    'Dir::Etc::SourceParts=-',
    `Dir::State::Lists=${join(dir, 'lists')}`,
    `Dir::Cache=${join(dir, 'cache')}`,
    'APT::Sandbox::User=root',
  ].flatMap((setting) => ['-o', setting])
  const apt = (...args: string[]) => run('apt-get', [...own, ...args], { cwd: dir, maxBuffer: 1e8 })
  await apt('update')
  const shown = await run('apt-cache', [...own, 'show', source], { maxBuffer: 1e8 })
  const version = /^Version: (.+)$/m.exec(shown.stdout)?.[1]
  if (!version) throw new Error(`Debian's archive has no ${source}`)
  await apt('download', ...packages.map((name) => `${name}=${version}`))
  await apt('source', '--download-only', `${source}=${version}`)
  return version
}

/** `make` there would want a configured tree; these are the libraries and the program that the tests load and run. */
async function build(packagesDir: string, suitesDir: string, libDir: string): Promise<void> {
  const lib = join(packagesDir, installed, 'lib')
  const include = (folder: string) => ['-I', join(packagesDir, 'usr/include/postgresql', folder)]
  const gcc = (name: string, code: string, args: readonly string[], libraries: readonly string[] = []) =>
    run('gcc', ['-O2', '-w', ...args, '-o', join(libDir, name), join(suitesDir, code), ...libraries])
  await gcc('regress.so', 'src/test/regress/regress.c', ['-shared', '-fPIC', ...include('15/server')])
  await gcc(
    'libpq_pipeline',
    'src/test/modules/libpq_pipeline/libpq_pipeline.c',
    ['-D_GNU_SOURCE', ...['', 'internal', '15/server'].flatMap(include)],
    ['-L', libpqDir(packagesDir), '-L', lib, '-lpq', '-lpgcommon', '-lpgport'],
  )
  for (const name of ['refint.so', 'autoinc.so']) cpSync(join(lib, name), join(libDir, name))
}
