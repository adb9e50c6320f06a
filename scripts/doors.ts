/**
 * The doors of the house: who may import whom. Checked on every source file by `npm run check` (see doors.test.ts for
 * the planted violations). Its own few lines rather than the linter's import rule, because two of the doors depend on
 * where a relative path ends, which a pattern on the text of an import cannot tell.
 */
import { readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

/** What may be imported, in words of the house; Node's own modules always may. */
type Door = {
  /** Files it is for; the first door that matches decides. */
  of: RegExp
  /** Workspace packages by short name. */
  packages: readonly string[] | 'any'
  npm: boolean
  /** Relative imports may not leave this folder (the first capture of `of`), nor ever the package. */
  within: 'package' | 'folder'
  why: string
}

const rooms = ['config', 'identity', 'platform', 'policy', 'sql']

/** The table of house.md. Tests are held to the last two rows: they may use any package, never reach into one. */
export const doors: readonly Door[] = [
  {
    of: /^packages\/kernel\/src\/(?!.*\.test\.ts$)/,
    packages: [],
    npm: false,
    within: 'package',
    why: 'kernel imports nothing',
  },
  {
    of: /^packages\/(?:sql|policy|identity|config|platform)\/src\/(?!.*\.test\.ts$)/,
    packages: ['kernel'],
    npm: true,
    within: 'package',
    why: 'a package imports kernel and no other package',
  },
  {
    of: /^(services\/proxy\/src\/protocols\/[^/]+\/)(?!.*\.test\.ts$)/,
    packages: ['kernel', 'sql'],
    npm: true,
    within: 'folder',
    why: 'a protocol is one folder that imports kernel and sql; it is handed what it needs',
  },
  {
    of: /^(services\/analyzer\/src\/detectors\/|services\/alerts\/src\/sinks\/)(?!.*\.test\.ts$)/,
    packages: ['kernel', 'sql'],
    npm: true,
    within: 'folder',
    why: 'a detector or a sink is one file that imports kernel and sql; it is handed what it needs',
  },
  {
    of: /^services\/all-in-one\//,
    packages: [...rooms, 'kernel', 'testkit', 'proxy', 'analyzer', 'alerts', 'query-api'],
    npm: true,
    within: 'package',
    why: 'the all-in-one entry may import services, by name',
  },
  {
    of: /^services\/[^/]+\/(?!.*\.test\.ts$)/,
    packages: [...rooms, 'kernel'],
    npm: true,
    within: 'package',
    why: 'services import packages, never each other: they meet on the bus; testkit is for tests',
  },
  {
    of: /^(?:packages|services)\//,
    packages: [...rooms, 'kernel', 'testkit'],
    npm: true,
    within: 'package',
    why: 'tests and testkit import packages by name, and no service',
  },
  {
    of: /^(?:deploy|load-tests|schemas|scripts)\//,
    packages: 'any',
    npm: true,
    within: 'package',
    why: 'another package is reached by its name',
  },
]

/** Only packages/platform names these, so that each can be replaced in one place. */
const platformOnly = ['kafkajs', '@clickhouse/client', 'avsc', 'chdb', 'lmdb']

/** Why `file` (relative to the root) may not import `specifier`, or undefined where it may. */
export function judgeImport(file: string, specifier: string): string | undefined {
  const door = doors.find(({ of }) => of.test(file))
  if (!door) return undefined
  if (specifier.startsWith('.')) return judgeRelative(door, file, specifier)
  if (specifier.startsWith('node:')) return undefined
  const workspace = /^@portcullis\/([^/]+)/.exec(specifier)?.[1]
  if (workspace !== undefined) {
    if (workspace === /^(?:packages|services)\/([^/]+)/.exec(file)?.[1]) return undefined
    return door.packages === 'any' || door.packages.includes(workspace) ? undefined : door.why
  }
  if (!door.npm) return door.why
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
  if (platformOnly.includes(name) && !file.startsWith('packages/platform/')) {
    return `only packages/platform names ${name}`
  }
  return undefined
}

/** Everything that a source text imports by a literal, types included, with its line. */
export function importsOf(source: string): { specifier: string; line: number }[] {
  const pattern =
    /(?:\bfrom|\bimport|\brequire(?:\.resolve)?\s*\(|\bimport\s*\(|\bimport\.meta\.resolve\s*\()\s*(['"`])([^'"`\n]+)\1/g
  return [...source.matchAll(pattern)].map((match) => ({
    specifier: match[2] ?? '',
    line: source.slice(0, match.index).split('\n').length,
  }))
}

/** One line a violation: `FILE:LINE imports SPECIFIER: why not`. */
export function checkDoors(root: string, files: readonly string[]): string[] {
  return files.flatMap((file) =>
    importsOf(readFileSync(join(root, file), 'utf8')).flatMap(({ specifier, line }) => {
      const why = judgeImport(file, specifier)
      return why === undefined ? [] : [`${file}:${line} imports ${specifier}: ${why}`]
    }),
  )
}

function judgeRelative(door: Door, file: string, specifier: string): string | undefined {
  const end = normalize(join(dirname(file), specifier))
  const home = packageOf(file)
  if (packageOf(end) !== home) return `${specifier} leaves ${home}: another package is reached by its name`
  const folder = door.within === 'folder' ? (door.of.exec(file)?.[1] ?? '') : ''
  return end.startsWith(folder) ? undefined : door.why
}

function packageOf(path: string): string {
  return /^(?:packages|services)\/[^/]+|^[^/]+/.exec(path)?.[0] ?? ''
}
