/**
 * Everything on one machine: the demo with its parts, or a real configuration with none of them. Holds the data folder,
 * starts what is needed in order, and stops it in the order that loses nothing.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Config, ConfigError, parseConfig } from '@portcullis/config'
import type { Started } from '@portcullis/kernel'
import { keptApiToken, keptMaskingKey, keptOwnKey, keptSealingKey } from './kept-secrets.ts'
import { holdFolder } from './data-folder.ts'
import { demoConfig, demoSecrets } from './demo-config.ts'
import { type DemoIdp, startDemoIdp } from './demo-idp.ts'
import { readDemoIdpState } from './demo-idp-state.ts'
import { type DemoPostgres, demoPostgresDir, newDemoPasswords, startDemoPostgres } from './demo-postgres.ts'
import { shopDatabase, shopRoles } from './demo-shop.ts'
import { loadOwnConfig } from './own-config.ts'
import { assertPortsFree, freePorts, type WantedPort } from './ports.ts'
import { type Context, portsOf, retry, startEmbeddedEngine, startPart, startServices } from './services.ts'
import type { SupervisorLog } from './supervisor-log.ts'

export type DemoOptions = {
  readonly folder: string
  /** 0 for any. */
  readonly postgresPort: number
  readonly apiPort: number
  readonly log: SupervisorLog
  progress(what: string): void
  /** Gives up the start: what had started is stopped, and it rejects. */
  readonly signal: AbortSignal
}

export type Demo = {
  /** HOST:PORT that clients connect to. */
  readonly postgresDoor: string
  readonly target: string
  readonly database: string
  readonly apiUrl: string
  /** Of an admin. */
  readonly apiToken: string
  readonly configFile: string
  /** Of the demo's database; inside the data folder wherever that can be. */
  readonly databaseFolder: string
  mint: DemoIdp['mint']
  pids(): Record<string, number>
}

/** How long the parts of a killed supervisor may take to end. */
const afterCrashMs = 30_000

/** Rejects with an Error whose message says what to do; by then everything that had started is stopped. */
export async function startDemo(options: DemoOptions): Promise<Started<Demo>> {
  const { folder, log, progress, signal } = options
  const held = holdFolder(folder, { passable: process.getuid?.() === 0 })
  const stops: (() => Promise<void>)[] = [async () => held.release()]
  const stop = stopper(stops)
  try {
    const context: Context = { log, progress, signal, retryMs: held.afterCrash ? afterCrashMs : 0 }
    const [anyDoor, anyApi, ...healthPorts] = await freePorts(6)
    const door = `127.0.0.1:${options.postgresPort || anyDoor}`
    const api = `127.0.0.1:${options.apiPort || anyApi}`
    await assertPortsFree(await demoPorts(door, api, folder), context.retryMs)
    const databaseFolder = demoPostgresDir(folder)
    const passwords = newDemoPasswords()
    const [idp, postgres, engine] = await allStarted(
      [
        retry(() => startDemoIdp({ dir: join(folder, 'idp'), log }), context.retryMs, signal),
        keepDemoPostgres(databaseFolder, passwords, context),
        startEmbeddedEngine(join(folder, 'audit'), context),
      ],
      stops,
    )
    const { port } = postgres.value()

    const [proxy, analyzer, alerts, projector] = healthPorts.map((free) => `127.0.0.1:${free}`)
    const text = demoConfig({
      issuer: idp.value.issuer,
      audience: idp.value.audience,
      postgresDoor: door,
      api,
      shop: { port, database: shopDatabase, ...shopRoles },
      health: {
        proxy: proxy ?? '',
        analyzer: analyzer ?? '',
        alerts: alerts ?? '',
        projector: projector ?? '',
      },
    })
    const configFile = join(folder, 'demo.yaml')
    writeFileSync(configFile, text, { mode: 0o600 })
    const apiToken = keptApiToken(folder)
    const sealing = { [demoSecrets.sealingKey]: keptSealingKey(folder) }
    const secrets = {
      proxy: {
        [demoSecrets.agent]: passwords.agent,
        [demoSecrets.report]: passwords.report,
        [demoSecrets.maskingKey]: keptMaskingKey(folder),
        ...sealing,
      },
      'query-api': { [demoSecrets.api]: apiToken, [demoSecrets.ownKey]: keptOwnKey(folder), ...sealing },
    }
    const services = await startServices(
      parseConfig(text, configFile),
      configFile,
      secrets,
      engine.value(),
      context,
    )
    stops.push(() => services.stop())
    const value: Demo = {
      postgresDoor: door,
      target: 'shop',
      database: shopDatabase,
      apiUrl: `http://${api}`,
      apiToken,
      configFile,
      databaseFolder,
      mint: idp.value.mint,
      pids: () => ({
        ...services.value.pids(),
        engine: engine.value().pid,
        'demo-postgres': postgres.value().pid,
        'demo-idp': idp.value.pid,
      }),
    }
    return { value, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function demoPorts(door: string, api: string, folder: string): Promise<WantedPort[]> {
  const idp = await readDemoIdpState(join(folder, 'idp'))
  return [
    {
      address: door,
      what: 'the Postgres door',
      howToChange: 'Choose another: npm start -- --postgres-port PORT',
    },
    { address: api, what: 'the API', howToChange: 'Choose another: npm start -- --api-port PORT' },
    // Part of every identity, so it is kept; before the first start any port will do.
    ...(idp
      ? [
          {
            address: `127.0.0.1:${idp.port}`,
            what: "the demo's token issuer, since the first start in this folder",
            howToChange: 'Stop that one, or start in another folder: npm start -- --data DIR',
          },
        ]
      : []),
  ]
}

/** Runs the services of a real configuration on this machine. Throws ConfigError where this machine lacks what it names. */
export async function startConfigured(
  configFile: string,
  options: Pick<DemoOptions, 'log' | 'progress' | 'signal'>,
): Promise<Started<{ config: Config }>> {
  const { config, missing } = loadOwnConfig(configFile)
  if (missing.length > 0) throw new ConfigError('invalid', missing)
  const held = holdFolder(config.dataDir)
  const stops: (() => Promise<void>)[] = [async () => held.release()]
  const stop = stopper(stops)
  try {
    const context = { ...options, retryMs: held.afterCrash ? afterCrashMs : 0 }
    await assertPortsFree(portsOf(config, configFile), context.retryMs)
    const { url } = config.audit
    const embedded = url.startsWith('embedded:') ? [startEmbeddedEngine(url.slice(9), context)] : []
    const [engine] = await allStarted(embedded, stops)
    const services = await startServices(config, configFile, {}, engine?.value(), context)
    stops.push(() => services.stop())
    return { value: { config }, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** The same port when it starts again, so that the gate finds it. */
function keepDemoPostgres(
  dataDir: string,
  passwords: ReturnType<typeof newDemoPasswords>,
  context: Context,
): Promise<Started<() => DemoPostgres>> {
  let port = 0
  const start = async (signal: AbortSignal) => {
    const started = await startDemoPostgres({ dataDir, passwords, port }, context.log, signal)
    port = started.value.port
    return started
  }
  return startPart({ name: 'demo-postgres', start }, context)
}

/** Waits for all, also where one fails, so that every one that came up is among `stops`. */
async function allStarted<T extends readonly Promise<Started<unknown>>[]>(
  starting: readonly [...T],
  stops: (() => Promise<void>)[],
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  const begun = starting.map(async (one) => {
    const started = await one
    stops.push(() => started.stop())
  })
  const failed = (await Promise.allSettled(begun)).find(({ status }) => status === 'rejected')
  if (failed?.status === 'rejected') throw failed.reason
  return await Promise.all(starting)
}

/** Last started, first stopped; a second call waits for the same end. */
function stopper(stops: (() => Promise<void>)[]): () => Promise<void> {
  let ending: Promise<void> | undefined
  const run = async () => {
    for (const stop of stops.splice(0).reverse()) await stop()
  }
  return () => {
    ending ??= run()
    return ending
  }
}
