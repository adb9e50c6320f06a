/** psql itself: every work as a script, and everything that a \ command can show. CLIENT_PSQL names the program. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { describing, newerDescribing, newerScripts, scripts } from './psql-commands.ts'
import { digest, run, target, unsupported } from './harness.ts'

const program = process.env.CLIENT_PSQL ?? 'psql'
const major = Number(/ (\d+)/.exec((await psql('', ['--version'])).out)?.[1])
const copy = '(select n, t from work.numbers order by n limit 20000)'

const manyTypes = `1::int2, -1::int8, 1.5::float4, 'NaN'::float8, 123.4500::numeric, 'a b'::text, 'c'::char(3), true, '\\x00ff'::bytea,
  date '2026-02-28', time '23:59:59.999', timestamptz '2026-02-28 12:00Z', interval '1 mon 2 days', '{1,2,null}'::int[], '{"a": 1}'::jsonb,
  inet '10.1.2.3/24', '[1,10)'::int4range, 'happy'::work.mood, null::text, point '(1,2)', money '12.50', xml '<a/>', bit '101', '16/B374D848'::pg_lsn`

/** The tables that all databases share have grown by the time the other side is asked. */
const showsSizes = /^\\d\w*S\w*\+/

await run({
  connect: () => psql('select current_database(), current_user;'),
  tls: () =>
    psql('select 1;', [], {
      PGSSLMODE: 'verify-full',
      PGSSLROOTCERT: process.env.CLIENT_CA,
      PGREQUIREAUTH: '',
    }),
  simple: () =>
    psql("select 1 as a\\; select 'x' as b, null as c\\; values (1, 2), (3, null);\nselect 2 as last;"),
  types: () => psql(`select ${manyTypes};\n\\x on\nselect ${manyTypes} \\gdesc`),
  binary: async () => unsupported('text format only'),
  prepared: () =>
    psql(
      `prepare times(int, int) as select $1 * $2;\n${many((n) => `execute times(${n}, 2);`)}select name from pg_prepared_statements;`,
    ),
  pipeline: async () => {
    if (major < 18) return unsupported('since psql 18')
    const batch = many((n) => `select $1::int \\bind ${n} \\sendpipeline\n`)
    return psql(
      `\\startpipeline\n${batch}\\endpipeline\n` +
        '\\startpipeline\nselect 1 \\bind \\sendpipeline\nselect 1 / $1::int \\bind 0 \\sendpipeline\nselect 3 \\bind \\sendpipeline\n\\syncpipeline\nselect 4 \\bind \\sendpipeline\n\\getresults\n\\endpipeline\nselect 5;',
    )
  },
  cursor: () => summed('\\set FETCH_COUNT 9999\nselect n, t from work.numbers order by n;'),
  large: () => summed('select repeat(chr(65 + n % 26), 1000) from generate_series(1, 25000) n;'),
  'copy-in': async () => {
    const lines = Array.from(
      { length: 5000 },
      (_, n) => `${n}\ttext ${n}\\\\\t\\\\x00ff\t2026-01-01 00:00:00+00\n`,
    )
    return psql(
      `\\copy work.copied from stdin\n${lines.join('')}\\.\nselect count(*), min(t), max(encode(b, 'hex')) from work.copied;\n` +
        'copy work.copied from stdin;\na\tb\tc\td\n\\.\nselect 1;\n' +
        `\\copy work.numbers to program 'cat > /dev/null' (format binary)\n`,
    )
  },
  'copy-out': async () => [
    await summed(`copy ${copy} to stdout csv header;`),
    await summed(`\\copy ${copy} to stdout binary`),
  ],
  transaction: () =>
    psql(
      "begin isolation level serializable;\ninsert into work.account values (10, 'tom', 1);\ncommit and chain;\nselect 1/0;\nselect 1;\ncommit;\n" +
        "\\set AUTOCOMMIT off\ninsert into work.account values (11, 'tim', 1);\nrollback;\nselect id from work.account where id >= 10;",
    ),
  savepoint: () =>
    psql(
      "\\set ON_ERROR_ROLLBACK on\nbegin;\ninsert into work.account values (20, 'una', 1);\nupdate work.account set balance = -1 where id = 20;\n" +
        'update work.account set balance = 5 where id = 20;\nsavepoint a;\ndelete from work.account;\nrollback to a;\nrelease a;\ncommit;\nselect * from work.account where id = 20;',
    ),
  notice: () => psql('select work.tell();\n\\set VERBOSITY verbose\nselect work.tell();'),
  listen: async () => {
    const { out, err } = await psql(
      `listen news;\n\\! ${JSON.stringify(program)} -Xqc "notify news, 'extra extra'"\nselect 1;`,
    )
    return { out: out.replace(/PID \d+/, 'PID'), err }
  },
  cancel: async () => {
    const child = start(['-v', 'VERBOSITY=verbose'])
    child.stdin.write('select pg_sleep(30);\n')
    await delay(400)
    child.kill('SIGINT')
    child.stdin.end('select 1 as n;\n')
    return collect(child)
  },
  error: () =>
    psql(
      "select * from work.nowhere;\n\\errverbose\n\\set VERBOSITY verbose\ninsert into work.account values (1, 'ann', 1);\ninsert into work.account values (30, 'x', -1);\n" +
        "insert into work.entry (account, amount) values (999, 1);\nselec 1;\nselect 'x'::int;\n\\echo :SQLSTATE :ERROR :LAST_ERROR_MESSAGE",
    ),
  reconnect: () => psql('select pg_terminate_backend(pg_backend_pid());\nselect 1;\n\\c\nselect 2;'),
  'large-object': () =>
    psql(
      "\\lo_import /etc/passwd 'a comment'\n\\lo_export :LASTOID /dev/stdout\nselect md5(lo_get(:LASTOID));\n\\lo_unlink :LASTOID\nselect count(*) from pg_largeobject_metadata;",
    ).then(withoutOids),
  catalogue: async () => {
    const isNew = major >= 18
    const session = [...describing, ...(isNew ? newerDescribing : [])].map((command) => {
      const format = showsSizes.test(command) ? 'unaligned' : 'aligned'
      return `\\pset format ${format}\n\\echo ${command.replaceAll('\\', '')}\n${command}\n`
    })
    const shown = [withoutSizes(await psql(session.join(''), [], { PGDATABASE: 'still' }))]
    for (const script of [...scripts, ...(isNew ? newerScripts : [])]) shown.push(await psql(script))
    return shown
  },
})

interface Printed {
  readonly out: string
  readonly err: string
}

function psql(script: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Printed> {
  const child = start(args, env)
  child.stdin.end(script)
  return collect(child)
}

function start(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const { host, port, user, password, database } = target
  const where = {
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: user,
    PGPASSWORD: password,
    PGDATABASE: database,
  }
  const child = spawn(program, ['-Xq', ...args], {
    env: { ...process.env, PGSSLMODE: 'disable', PGCLIENTENCODING: 'UTF8', ...where, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  // One that has gone before it read its script says why on stderr.
  child.stdin.on('error', () => undefined)
  return child
}

async function collect(child: ReturnType<typeof start>): Promise<Printed> {
  const closed = once(child, 'close')
  let [out, err] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    out += chunk
  })
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    err += chunk
  })
  await closed
  return { out: withoutTimes(out), err }
}

async function summed(script: string): Promise<unknown> {
  const child = start([])
  const closed = once(child, 'close')
  const sum = digest()
  let bytes = 0
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    sum.add(chunk)
  })
  child.stdin.end(script)
  await closed
  return { bytes, digest: sum.hex(), code: child.exitCode }
}

/** `\watch` prints when it ran. */
function withoutTimes(text: string): string {
  return text.replace(/^\w{3} \w{3} +\d+ [\d:]{8} \d{4}/gm, 'TIME')
}

function withoutSizes({ out, err }: Printed): Printed {
  return { out: out.replace(/\|\d+ (bytes|kB|MB)\|/g, '|SIZE|'), err }
}

function withoutOids({ out, err }: Printed): Printed {
  return { out: out.replace(/lo_import \d+|lo_unlink \d+/g, 'oid'), err }
}

function many(line: (n: number) => string): string {
  return Array.from({ length: 50 }, (_, n) => line(n + 1)).join('\n')
}
