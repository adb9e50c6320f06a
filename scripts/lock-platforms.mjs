/**
 * Adds to package-lock.json what npm leaves out when a registry does not serve packages for other platforms: without an
 * entry for each, `npm ci` refuses the lockfile everywhere. Entries have the exact version their parent asks for and no
 * checksum, which npm fills in where it has the package. Run it after every `npm install`; `--check` only tells.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const file = join(dirname(fileURLToPath(import.meta.url)), '../package-lock.json')
const lock = JSON.parse(readFileSync(file, 'utf8'))
const missing = missingEntries(lock.packages)

if (process.argv.includes('--check')) {
  for (const [path] of missing)
    console.error(`package-lock.json lacks ${path}: run node scripts/lock-platforms.mjs`)
  process.exitCode = missing.length === 0 ? 0 : 1
} else {
  Object.assign(lock.packages, Object.fromEntries(missing))
  const byPath = ([a], [b]) => (a < b ? -1 : 1)
  lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(byPath))
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
  console.log(`added ${missing.length}`)
}

function missingEntries(packages) {
  return Object.entries(packages).flatMap(([parent, { optionalDependencies = {}, dev, devOptional }]) =>
    Object.entries(optionalDependencies).flatMap(([name, wanted]) => {
      if (!/^\d/.test(wanted) && !/^\^\d/.test(wanted)) return []
      if (isFound(packages, parent, name)) return []
      const version = wanted.replace(/^\^/, '')
      const flags = { ...(dev && { dev }), ...(devOptional && { devOptional }), optional: true }
      return [[`node_modules/${name}`, { version, ...platformOf(name), ...flags }]]
    }),
  )
}

/** As Node looks it up: beside the parent, then outwards. */
function isFound(packages, parent, name) {
  for (let folder = parent; ; folder = folder.replace(/\/?node_modules\/(@[^/]+\/)?[^/]+$/, '')) {
    if (packages[`${folder ? `${folder}/` : ''}node_modules/${name}`]) return true
    if (!folder.includes('node_modules')) return Boolean(packages[`node_modules/${name}`])
  }
}

/** Read off the name, which is how all of them are named. */
function platformOf(name) {
  const words = name.replace(/^@[^/]+\//, '').split(/[-.]/)
  const aliases = { windows: 'win32', win: 'win32', macos: 'darwin' }
  const systems = [
    'darwin',
    'win32',
    'linux',
    'android',
    'freebsd',
    'openbsd',
    'netbsd',
    'sunos',
    'aix',
    'wasm32',
    'openharmony',
  ]
  const architectures = [
    'x64',
    'arm64',
    'arm',
    'ia32',
    'ppc64',
    'riscv64',
    's390x',
    'loong64',
    'mips64el',
    'wasm32',
  ]
  const os = words
    .map((word) => aliases[word] ?? word)
    .find((word) => systems.includes(word) && word !== 'wasm32')
  const cpu = words
    .map((word) => (word === 'aarch64' ? 'arm64' : word))
    .find((word) => architectures.includes(word))
  const libc = words.some((word) => /^musl/.test(word))
    ? 'musl'
    : words.some((word) => /^gnu/.test(word))
      ? 'glibc'
      : undefined
  return { ...(cpu && { cpu: [cpu] }), ...(libc && { libc: [libc] }), ...(os && { os: [os] }) }
}
