/**
 * `npm start`: the demo on this machine. `npm start -- --config FILE`: a real configuration, and no demo part.
 * `--validate` says what is wrong with that file and ends. The first Ctrl-C drains, the second ends everything at once.
 */
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { ConfigError } from '@portcullis/config'
import type { Started } from '@portcullis/kernel'
import { hasPsql } from '@portcullis/testkit/postgres-binaries'
import { loadOwnConfig } from './own-config.ts'
import { startConfigured, startDemo } from './start.ts'
import { logToFiles, logToStdout, type SupervisorLog } from './supervisor-log.ts'
import { welcome } from './welcome.ts'

const usage = `npm start                          the demo: everything on this machine, data under .portcullis
npm start -- --data DIR            the same with its data elsewhere (or PORTCULLIS_DATA=DIR)
npm start -- --postgres-port PORT  default 15432; 0 for any free one
npm start -- --api-port PORT       default 8080; 0 for any free one
                                   the demo's token issuer keeps the port of its first start: 18790, or any free one
npm start -- --config FILE         a configuration of your own, no demo part
npm start -- --config FILE --validate   every mistake in it with its line, and what this machine lacks`

/** An interrupt from a terminal reaches npm, the bootstrap and us, and each passes it on: one press counts once. */
const samePressMs = 500

/** Of the token in the printed lines: a working day. */
const tokenSec = 12 * 3600

process.exitCode = await main()
process.exit()

async function main(): Promise<number> {
  const args = readArgs()
  if (typeof args === 'string') {
    console.error(args)
    return 2
  }
  if (args.help) {
    console.log(usage)
    return 0
  }
  try {
    if (args.config !== undefined && args.validate) {
      return validate(args.config)
    }
    const stopAsked = whenAskedToStop()
    return args.config === undefined
      ? await runDemo({ ...args, stopAsked })
      : await runConfigured(args.config, stopAsked)
  } catch (error) {
    const isConfig = error instanceof ConfigError
    console.error(isConfig ? error.problems.join('\n') : `portcullis: ${messageOf(error)}`)
    return isConfig ? 2 : 1
  }
}

/** Whoever validates elsewhere than where it runs need not have its secrets: what is missing here is no mistake in it. */
function validate(configFile: string): number {
  const { missing, warnings } = loadOwnConfig(configFile)
  for (const line of [...missing, ...warnings]) console.error(`warning: ${line}`)
  const where = missing.length > 0 ? ', but it does not start on this machine: see above' : ''
  console.log(`${configFile}: valid${where}`)
  return 0
}

async function runDemo(options: {
  data: string
  postgresPort: number
  apiPort: number
  stopAsked: AbortSignal
}): Promise<number> {
  const folder = options.data
  let starting = true
  // While parts come up they wait for one another, and say so.
  const log = lazyFileLog(folder, (text, level) => {
    if (level === 'error' || !starting) console.error(text)
  })
  console.log(`portcullis: starting the demo, data in ${folder}`)
  const progress = (what: string) => console.log(`  up: ${what}`)
  const { postgresPort, apiPort, stopAsked } = options
  const started = startDemo({ folder, postgresPort, apiPort, log, progress, signal: stopAsked })
  const demo = await stopWhenAsked(started, stopAsked)
  starting = false
  if (!demo) return 0
  const token = await demo.value.mint('agent:demo', { groups: ['agents'], ttlSec: tokenSec })
  const tokenUntil = new Date(Date.now() + tokenSec * 1000)
  console.log(welcome(demo.value, token, { hasPsql: hasPsql(), folder, tokenUntil }).text)
  await aborted(stopAsked)
  return await stopCleanly(demo, log)
}

async function runConfigured(configFile: string, stopAsked: AbortSignal): Promise<number> {
  const log = logToStdout()
  const running = await stopWhenAsked(
    startConfigured(configFile, { log, progress: () => undefined, signal: stopAsked }),
    stopAsked,
  )
  if (!running) return 0
  const { proxy, api } = running.value.config
  const addresses = { postgresDoor: proxy.listen.postgres, api: api.listen }
  log.info({ configFile, ...addresses }, 'ready')
  console.error(
    `portcullis: ready; Postgres door ${addresses.postgresDoor}, API http://${addresses.api}; Ctrl-C drains and stops`,
  )
  await aborted(stopAsked)
  return await stopCleanly(running, log)
}

/** Ctrl-C while things start: the start is given up, which stops what had started. undefined then. */
async function stopWhenAsked<T>(
  starting: Promise<Started<T>>,
  stopAsked: AbortSignal,
): Promise<Started<T> | undefined> {
  try {
    return await starting
  } catch (error) {
    if (!stopAsked.aborted) throw error
    console.error('portcullis: stopped before everything was up')
    return undefined
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

async function stopCleanly(running: Started<unknown>, log: SupervisorLog): Promise<number> {
  console.error('portcullis: draining and stopping (Ctrl-C again to end at once)')
  const startMs = performance.now()
  await running.stop()
  log.info({ tookMs: Math.round(performance.now() - startMs) }, 'stopped')
  log.close()
  console.error(`portcullis: stopped after ${((performance.now() - startMs) / 1000).toFixed(1)} s`)
  return 0
}

/** Aborted at the first request to stop. A second one ends the process, and with it every child. */
function whenAskedToStop(): AbortSignal {
  const asked = new AbortController()
  let firstMs: number | undefined
  const ask = () => {
    const nowMs = performance.now()
    if (firstMs !== undefined && nowMs - firstMs > samePressMs) process.exit(130)
    firstMs ??= nowMs
    asked.abort()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, ask)
  if (process.connected) process.once('disconnect', ask)
  return asked.signal
}

function readArgs() {
  try {
    const { values } = parseArgs({
      options: {
        config: { type: 'string' },
        validate: { type: 'boolean', default: false },
        data: {
          type: 'string',
          default: process.env.PORTCULLIS_DATA ?? join(import.meta.dirname, '../../../.portcullis'),
        },
        'postgres-port': { type: 'string', default: '15432' },
        'api-port': { type: 'string', default: '8080' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    if (values.validate && values.config === undefined) throw new Error('--validate needs --config FILE')
    return {
      config: values.config === undefined ? undefined : fromWhereTyped(values.config),
      validate: values.validate,
      help: values.help,
      data: fromWhereTyped(values.data),
      postgresPort: portOf('--postgres-port', values['postgres-port']),
      apiPort: portOf('--api-port', values['api-port']),
    }
  } catch (error) {
    return `portcullis: ${messageOf(error)}\n\n${usage}`
  }
}

/** npm changes into the project's folder before it runs anything, and says where it was called. */
function fromWhereTyped(path: string): string {
  return resolve(process.env.INIT_CWD ?? '.', path)
}

function portOf(option: string, text: string): number {
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port > 65_535)
    throw new Error(`${option} ${text}: must be a port, 0 to 65535`)
  return port
}

/** The folder must not be touched before it is held by us, so the files are opened at the first line. */
function lazyFileLog(folder: string, show: (text: string, level: 'warn' | 'error') => void): SupervisorLog {
  let log: SupervisorLog | undefined
  const get = () => {
    log ??= logToFiles(join(folder, 'log'), show)
    return log
  }
  return {
    debug: (fields, message) => get().debug(fields, message),
    info: (fields, message) => get().info(fields, message),
    warn: (fields, message) => get().warn(fields, message),
    error: (fields, message) => get().error(fields, message),
    line: (service, text) => get().line(service, text),
    close: () => log?.close(),
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
