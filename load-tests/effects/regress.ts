/**
 * PostgreSQL's own regression SQL, from Debian's source package of the server that is installed here, run by psql in the
 * order of its schedule. It is unpacked into a folder of its own and never becomes part of this tree.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Regress {
  readonly folder: string
  readonly version: string
}

/** The folder `src/test/regress` of the installed server's version, or why it cannot be had. */
export function findRegress(cacheDir: string): Regress | { readonly missing: string } {
  const given = process.env.PORTCULLIS_REGRESS
  if (given) return { folder: given, version: 'given' }
  try {
    const status = output('dpkg-query', ['--status', 'postgresql-15'])
    const version = /^Version: (.*)$/m.exec(status)?.[1] ?? ''
    const unpacked = join(cacheDir, `postgresql-${version.split('-')[0]}`, 'src/test/regress')
    if (!existsSync(unpacked)) unpack(cacheDir, version)
    return { folder: unpacked, version }
  } catch (error) {
    return {
      missing: `no source package of postgresql-15 (or set PORTCULLIS_REGRESS): ${(error as Error).message.split('\n')[0]}`,
    }
  }
}

/** With lists of apt's own for sources, so that the machine's configuration stays as it is. */
function unpack(cacheDir: string, version: string): void {
  const parts = join(cacheDir, 'parts')
  const lists = join(cacheDir, 'lists')
  mkdirSync(parts, { recursive: true })
  mkdirSync(join(lists, 'partial'), { recursive: true })
  for (const [name, text] of aptSources()) writeFileSync(join(parts, name), text)
  const options = [
    ['Dir::Etc::sourcelist', '/dev/null'],
    ['Dir::Etc::sourceparts', parts],
    ['Dir::State::lists', lists],
  ].flatMap(([name, value]) => ['-o', `${name}=${value}`])
  output('apt-get', [...options, '-q', 'update'])
  output('apt-get', [...options, '-q', 'source', '--download-only', `postgresql-15=${version}`], cacheDir)
  const archive = readdirSync(cacheDir).find((name) => /^postgresql-15_.*\.orig\.tar/.test(name))
  if (!archive) throw new Error('the source package has no archive')
  const root = `postgresql-${version.split('-')[0]}`
  output('tar', ['xf', archive, `${root}/src/test/regress`], cacheDir)
}

/** Each list of packages of this machine as a list of sources. */
function aptSources(): readonly (readonly [string, string])[] {
  const folder = '/etc/apt/sources.list.d'
  const files = [
    '/etc/apt/sources.list',
    ...(existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []),
  ]
  return files.filter(existsSync).flatMap((file) => {
    const text = readFileSync(file, 'utf8')
    if (!/debian\.org|\/debian/.test(text)) return []
    const extension = file.endsWith('.sources') ? 'sources' : 'list'
    const sources =
      extension === 'sources'
        ? text.replaceAll(/^Types:.*$/gm, 'Types: deb-src')
        : text.replaceAll(/^deb\s/gm, 'deb-src ')
    return [[`${file.replaceAll(/\W/g, '_')}.${extension}`, sources] as const]
  })
}

function output(program: string, args: readonly string[], cwd?: string): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], cwd })
}

/** Names of the test files in the order in which they may run one after the other. */
export function schedule({ folder }: Regress): readonly string[] {
  return readFileSync(join(folder, 'parallel_schedule'), 'utf8')
    .split('\n')
    .flatMap((line) => (line.startsWith('test:') ? line.slice(5).trim().split(/\s+/) : []))
    .filter((name) => existsSync(join(folder, 'sql', `${name}.sql`)))
}

/** Runs one file to its end; its own errors are part of it. False where it took longer than it may. */
export async function runFile(
  regress: Regress,
  name: string,
  server: { readonly port: number; readonly user: string; readonly database: string },
  outputDir: string,
  msMax: number,
): Promise<boolean> {
  const child = spawn('psql', ['-X', '-q', '-f', join(regress.folder, 'sql', `${name}.sql`)], {
    cwd: outputDir,
    stdio: ['ignore', 'ignore', 'ignore'],
    env: {
      PATH: process.env.PATH,
      PGHOST: '127.0.0.1',
      PGPORT: String(server.port),
      PGUSER: server.user,
      PGDATABASE: server.database,
      PGSSLMODE: 'disable',
      PGGSSENCMODE: 'disable',
      PGTZ: 'PST8PDT',
      PGDATESTYLE: 'Postgres, MDY',
      PG_ABS_SRCDIR: regress.folder,
      PG_ABS_BUILDDIR: outputDir,
      PG_LIBDIR: outputDir,
      PG_DLSUFFIX: '.so',
    },
  })
  const late = setTimeout(() => child.kill('SIGKILL'), msMax)
  const [, signal] = await once(child, 'exit')
  clearTimeout(late)
  return signal === null
}
