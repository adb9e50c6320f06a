/**
 * What the demo runs against, all real and all on loopback: a PostgreSQL, an OIDC issuer, an HTTP receiver that stands
 * for Slack, and everything else started by the all-in-one from a configuration file, as `npm start -- --config` does.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Started } from '@portcullis/kernel'
import { startPostgres } from '@portcullis/testkit/postgres'
import { startTestIssuer, type TestIssuer } from '@portcullis/testkit/tokens'
import { liveSchema } from '../simulator/index.ts'

export interface Parts {
  readonly issuer: TestIssuer
  readonly busUrl: string
  readonly door: { readonly host: string; readonly port: number }
  /** HOST:PORT of the analyzer's metrics. */
  readonly analyzer: string
  readonly api: { readonly url: string; readonly token: string }
}

/** `onAlert` gets the text of every message that Slack would have shown. `busUrl`: another bus than one in `folder`. */
export async function startParts(
  folder: string,
  onAlert: (text: string) => void,
  busUrl = `lmdb:${join(folder, 'bus')}`,
): Promise<Started<Parts>> {
  const stops: (() => Promise<void>)[] = []
  const stop = async () => {
    for (const one of stops.splice(0).reverse()) await one()
  }
  try {
    const postgres = await startPostgres()
    stops.push(() => postgres.stop())
    const { app, database, port } = postgres.value
    await postgres.value.query(liveSchema)
    await postgres.value.query(`grant select, insert, update on all tables in schema public to ${app.user}`)
    const issuer = await startTestIssuer()
    stops.push(() => issuer.stop())
    const slack = await startReceiver(onAlert)
    stops.push(() => slack.stop())

    const [door = 0, api, ...health] = await freePorts(6)
    const configFile = join(folder, 'portcullis.yaml')
    writeFileSync(
      configFile,
      configuration({
        issuer: issuer.value.issuer,
        busUrl,
        postgresPort: port,
        user: app.user,
        database,
        door,
        api: api ?? 0,
        health,
      }),
    )
    const apiToken = randomBytes(24).toString('base64url')
    const env = {
      PORTCULLIS_DEMO_PASSWORD: app.password,
      PORTCULLIS_DEMO_SLACK: slack.value,
      PORTCULLIS_DEMO_API_TOKEN: apiToken,
    }
    const services = await startAllInOne(configFile, env)
    stops.push(() => services.stop())
    const value: Parts = {
      issuer: issuer.value,
      busUrl,
      door: { host: '127.0.0.1', port: door },
      analyzer: `127.0.0.1:${health[1] ?? 0}`,
      api: { url: `http://127.0.0.1:${api}`, token: apiToken },
    }
    return { value, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

const startMsMax = 60_000
const stopMsMax = 30_000

function configuration(values: {
  issuer: string
  busUrl: string
  postgresPort: number
  user: string
  database: string
  door: number
  api: number
  health: readonly number[]
}): string {
  const [proxy, analyzer, projector, alerts] = values.health
  return `# Made by npm run demo, for one run.
dataDir: .
bus: ${values.busUrl}
audit: embedded:./audit
identity: { issuers: [{ issuer: '${values.issuer}', audience: [portcullis], algorithms: [ES256] }] }
targets:
  - name: shop
    protocol: postgres
    address: 127.0.0.1:${values.postgresPort}
    database: ${values.database}
    tls: { mode: disable }
    credentials: { user: ${values.user}, password: 'env:PORTCULLIS_DEMO_PASSWORD' }
    groups: [agents]
proxy:
  name: gate-1
  listen: { postgres: '127.0.0.1:${values.door}' }
  health: 127.0.0.1:${proxy}
  recorder: { onUnavailable: deny }
  drainSecMax: 3
analyzer: { health: '127.0.0.1:${analyzer}' }
projector: { health: '127.0.0.1:${projector}' }
alerts: { health: '127.0.0.1:${alerts}', slack: { webhook: 'env:PORTCULLIS_DEMO_SLACK' } }
api:
  listen: 127.0.0.1:${values.api}
  tokens: [{ name: demo, role: viewer, token: 'env:PORTCULLIS_DEMO_API_TOKEN' }]
`
}

/** Ready once the supervisor says so; rejects with its last words when it ends before. */
async function startAllInOne(
  configFile: string,
  env: Readonly<Record<string, string>>,
): Promise<Started<void>> {
  const main = join(import.meta.dirname, '../../services/all-in-one/src/main.ts')
  const child = spawn(process.execPath, [main, '--config', configFile], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const lastWords: string[] = []
  const ready = Promise.withResolvers<void>()
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream) continue
    createInterface({ input: stream }).on('line', (line) => {
      lastWords.push(line)
      if (lastWords.length > 15) lastWords.shift()
      if (line.includes('"ready"') && line.includes('"configFile"')) ready.resolve()
    })
  }
  const tooLate = setTimeout(() => ready.reject(new Error('not ready in time')), startMsMax)
  child.once('exit', (code) => ready.reject(new Error(`ended with ${code}`)))
  try {
    await ready.promise
  } catch (cause) {
    await end(child)
    throw new Error(`the all-in-one did not start: ${(cause as Error).message}\n${lastWords.join('\n')}`, {
      cause,
    })
  } finally {
    clearTimeout(tooLate)
  }
  return { value: undefined, stop: () => end(child) }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), stopMsMax)
  await gone
  clearTimeout(late)
}

/** Answers as Slack's incoming webhook does. */
async function startReceiver(onAlert: (text: string) => void): Promise<Started<string>> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const message = JSON.parse(Buffer.concat(chunks).toString()) as { text?: string }
    onAlert(message.text ?? '')
    response.writeHead(200).end('ok')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    value: `http://127.0.0.1:${(server.address() as AddressInfo).port}/services/demo`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createTcpServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
