/**
 * The doors of the house: who may import whom. Checked on every source file by `npm run check` (see doors.test.ts for
 * the planted violations). Its own few lines rather than the linter's import rule, because that looks at the text of one
 * import, and these doors depend on where a relative path ends and on what lies behind it.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

/** What may be imported, in words of the house; Node's own modules always may. */
type Door = {
  /** Files it is for; the first door that matches decides. A capture is a folder that its siblings may not enter. */
  of: RegExp
  /** Workspace packages by short name. */
  packages: readonly string[] | 'any'
  npm: boolean
  /** Whatever it imports from its own service is held to the same door, and so on. */
  reaches?: true
  why: string
}

const rooms = ['config', 'expressions', 'identity', 'masking', 'platform', 'policy', 'sql', 'ssh-ca', 'vault']

/** The table of house.md. */
export const doors: readonly Door[] = [
  { of: /^packages\/kernel\/src\//, packages: [], npm: false, why: 'kernel imports nothing' },
  {
    of: /^packages\/(?:config|identity|masking|policy)\//,
    packages: ['kernel', 'expressions'],
    npm: true,
    why: 'a package imports kernel, and expressions where people write some, and no other package',
  },
  {
    of: /^packages\/(?:expressions|platform|sql|ssh-ca|vault)\//,
    packages: ['kernel'],
    npm: true,
    why: 'a package imports kernel and no other package',
  },
  {
    of: /^(services\/proxy\/src\/protocols\/)[^/]+\//,
    packages: ['kernel', 'masking', 'sql'],
    npm: true,
    reaches: true,
    why: 'a protocol is one folder that imports kernel, masking and sql; it is handed what it needs',
  },
  {
    of: /^services\/analyzer\/src\/detectors\/|^services\/alerts\/src\/sinks\//,
    packages: ['kernel', 'sql'],
    npm: true,
    reaches: true,
    why: 'a detector or a sink imports kernel and sql; it is handed what it needs',
  },
  {
    of: /^services\/all-in-one\//,
    packages: [...rooms, 'kernel', 'testkit', 'proxy', 'analyzer', 'alerts', 'query-api'],
    npm: true,
    why: 'the all-in-one entry may import services, by name',
  },
  {
    of: /^services\//,
    packages: [...rooms, 'kernel'],
    npm: true,
    why: 'services import packages, never each other: they meet on the bus; testkit is for tests',
  },
]

/** Tests may use every package and the simulated fleet, but no service except their own. */
const ofTests: Door = {
  of: /^(?:packages|services)\//,
  packages: [...rooms, 'kernel', 'testkit'],
  npm: true,
  why: 'tests import packages by name, and no service',
}

const ofTools: Door = {
  of: /^(?:deploy|load-tests|schemas|scripts)\//,
  packages: 'any',
  npm: true,
  why: 'another package is reached by its name',
}

const testCode =
  /\.test\.ts$|\.fixture\.ts$|\/testing\/|\/test-[^/]+\.ts$|^packages\/testkit\/|^packages\/[^/]+\/scripts\//

/** Only packages/platform names these, so that each can be replaced in one place. */
const platformOnly = ['kafkajs', '@clickhouse/client', 'avsc', 'chdb', 'lmdb']

/** One line a violation: `FILE:LINE imports SPECIFIER: why not`. */
export function checkDoors(root: string, files: readonly string[]): string[] {
  return files.flatMap((file) => {
    const door = doorOf(file)
    if (!door) return []
    const violations = judgeFile(root, file, door)
    if (!door.reaches) return violations
    const behind = reachedFrom(root, file).flatMap((other) => judgeFile(root, other, door))
    return [...violations, ...behind.map((violation) => `${file} reaches ${violation}`)]
  })
}

/** Everything that a source text imports by a literal, types included, with its line. */
export function importsOf(source: string): { specifier: string; line: number }[] {
  const pattern =
    /(?:\bfrom|\bimport|\brequire(?:\.resolve)?\s*\(|\bimport\s*\(|\bimport\.meta\.resolve\s*\()\s*(['"])([^'"\n]+)\1/g
  return [...source.matchAll(pattern)].map((match) => ({
    specifier: match[2] ?? '',
    line: source.slice(0, match.index).split('\n').length,
  }))
}

function doorOf(file: string): Door | undefined {
  if (testCode.test(file)) return ofTests
  return [...doors, ofTools].find(({ of }) => of.test(file))
}

function judgeFile(root: string, file: string, door: Door): string[] {
  return importsOf(readFileSync(join(root, file), 'utf8')).flatMap(({ specifier, line }) => {
    const why = specifier.startsWith('.')
      ? judgeRelative(door, file, specifier)
      : judgeName(door, file, specifier)
    return why === undefined ? [] : [`${file}:${line} imports ${specifier}: ${why}`]
  })
}

function judgeName(door: Door, file: string, specifier: string): string | undefined {
  if (specifier.startsWith('node:')) return undefined
  const workspace = /^@portcullis\/([^/]+)/.exec(specifier)?.[1]
  if (workspace !== undefined) {
    const isOwn = packageOf(file).endsWith(`/${workspace}`)
    return isOwn || door.packages === 'any' || door.packages.includes(workspace) ? undefined : door.why
  }
  if (!door.npm) return door.why
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
  const allowed = !platformOnly.includes(name) || file.startsWith('packages/platform/')
  return allowed ? undefined : `only packages/platform names ${name}`
}

function judgeRelative(door: Door, file: string, specifier: string): string | undefined {
  const end = normalize(join(dirname(file), specifier))
  const home = packageOf(file)
  if (door === ofTests && end.startsWith('load-tests/')) return undefined
  if (packageOf(end) !== home) return `${specifier} leaves ${home}: another package is reached by its name`
  // One protocol is not to lean on another.
  const among = door.of.exec(file)?.[1]
  if (among === undefined || !end.startsWith(among)) return undefined
  return end.slice(among.length).split('/')[0] === file.slice(among.length).split('/')[0]
    ? undefined
    : door.why
}

/** Files of the same package that `file` imports, directly or not. */
function reachedFrom(root: string, file: string): string[] {
  const seen = new Set([file])
  for (const from of seen) {
    for (const { specifier } of importsOf(readFileSync(join(root, from), 'utf8'))) {
      if (!specifier.startsWith('.')) continue
      const end = normalize(join(dirname(from), specifier))
      if (packageOf(end) === packageOf(file) && existsSync(join(root, end))) seen.add(end)
    }
  }
  seen.delete(file)
  return [...seen]
}

function packageOf(path: string): string {
  return /^(?:packages|services)\/[^/]+|^[^/]+/.exec(path)?.[0] ?? ''
}
