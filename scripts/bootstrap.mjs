#!/usr/bin/env node
/**
 * What `npm start`, `npm test` and the other scripts run first. On a fresh clone it installs what is missing; then it
 * hands over to the Node that the project pins (node_modules/.bin/node), whatever Node called it (18 or later).
 * It has no dependency, touches no network once everything is installed, and takes nothing from a half-done install.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const pinnedNode = join(root, 'node_modules', '.bin', 'node')

/** What each script runs, with the pinned Node. */
const entries = {
  start: ['services/all-in-one/src/main.ts'],
  test: ['scripts/test.ts'],
  check: ['scripts/check.ts'],
  demo: ['load-tests/demo.ts'],
}

main(process.argv.slice(2))

function main([name, ...args]) {
  // Any other name is a file to run, so that further scripts need no entry here.
  const entry = entries[name] ?? (name !== undefined && existsSync(join(root, name)) ? [name] : undefined)
  if (!entry)
    fail(
      `bootstrap: unknown script ${JSON.stringify(name)}; one of ${Object.keys(entries).join(', ')}, or a file`,
    )
  const missing = whatIsMissing()
  if (missing) install(missing)
  run(entry, args)
}

/** Why an installation is needed, or undefined. npm keeps a copy of what it installed in node_modules. */
function whatIsMissing() {
  const installedFile = join(root, 'node_modules', '.package-lock.json')
  if (!existsSync(installedFile)) return 'nothing is installed yet'
  let installed
  try {
    installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages
  } catch {
    return 'the last installation was not finished'
  }
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
  for (const [path, { version, integrity, link, optional, devOptional, resolved }] of Object.entries(
    wanted,
  )) {
    if (!path.startsWith('node_modules/') && !path.includes('/node_modules/')) continue
    const have = installed[path]
    // An optional package for another platform is rightly absent.
    if (!have && (optional || devOptional)) continue
    if (!have) return `${path} is missing`
    if (link ? have.resolved !== resolved : have.version !== version || have.integrity !== integrity) {
      return `${path} is outdated`
    }
  }
  return nodeProblem()
}

/** The pinned Node comes by an install script, which a setting of npm can suppress. */
function nodeProblem() {
  const wanted = JSON.parse(readFileSync(join(root, 'node_modules', 'node', 'package.json'), 'utf8')).version
  const { stdout } = spawnSync(pinnedNode, ['--version'], { encoding: 'utf8' })
  return stdout?.trim() === `v${wanted}` ? undefined : `Node ${wanted} is not in node_modules`
}

function install(reason) {
  const start = Date.now()
  console.error(`portcullis: installing (${reason}); once, about 1 GB, from a minute to a few`)
  const npm = npmCommand()
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error']
  const result = spawnSync(npm[0], [...npm.slice(1), ...args], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    env: npmEnv(),
  })
  if (result.error) {
    fail(
      `npm could not be run (${result.error.message}). Portcullis needs Node 18 or later and npm: https://nodejs.org`,
    )
  }
  if (result.status !== 0) {
    fail(
      'npm ci failed (see above). Is the npm registry reachable (npm ping)? Behind a proxy: npm config set proxy URL. ' +
        'The same command may be run again at any time.',
    )
  }
  const problem = nodeProblem()
  if (problem) {
    fail(
      `${problem}: its install script did not run. Allow it (npm config get ignore-scripts must say false), then run npm rebuild node`,
    )
  }
  console.error(`portcullis: installed in ${((Date.now() - start) / 1000).toFixed(0)} s`)
}

/** npm tells its scripts where it is itself; without it (a plain `node scripts/bootstrap.mjs`) the PATH decides. */
function npmCommand() {
  const cli = process.env.npm_execpath
  if (cli && /npm-cli\.c?js$/.test(cli)) return [process.execPath, cli]
  return [process.platform === 'win32' ? 'npm.cmd' : 'npm']
}

/** `npm_config_*` of the calling npm (a filter for one workspace, say) must not shape the installation. */
function npmEnv() {
  const env = { ...process.env }
  for (const name of [
    'npm_config_workspace',
    'npm_config_workspaces',
    'npm_config_omit',
    'npm_config_global',
  ])
    delete env[name]
  // A production environment would leave out what `npm test` needs, and the pinned Node.
  delete env.NODE_ENV
  return env
}

function run(entry, args) {
  const [file, ...fixed] = entry
  const path = join(root, 'node_modules', '.bin')
  const child = spawn(pinnedNode, [join(root, file), ...fixed, ...args], {
    stdio: 'inherit',
    env: { ...process.env, PATH: `${path}:${process.env.PATH ?? ''}` },
  })
  // A terminal's Ctrl-C reaches the child by itself too (one process group), but whether a terminal or a kill sent it
  // cannot be told: what runs counts signals that come together as one press.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => fail(`${pinnedNode} could not be run: ${error.message}`))
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 1)))
}

function fail(message) {
  console.error(`portcullis: ${message}`)
  process.exit(1)
}
