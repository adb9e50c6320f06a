/**
 * For tests: two replicas of the API over one real bus, a real OpenID provider and a real SAML one. The replicas share
 * nothing but the bus and the configuration, as they would behind a balancer.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseConfig } from '@portcullis/config'
import { type Bus, type SignInEvent, type Started, systemClock, topics } from '@portcullis/kernel'
import { createCodecs } from '@portcullis/platform/codec'
import { connectBus } from '@portcullis/platform/connect'
import { createLog } from '@portcullis/platform/service'
import { startOidcProvider } from '@portcullis/testkit/oidc-idp'
import { startSamlProvider } from '@portcullis/testkit/saml-idp'
import type { FastifyInstance } from 'fastify'
import { signInOptionsOf } from '../sign-in-options.ts'
import { startInstance } from '../test-api.ts'
import { createTrail } from '../trail.ts'

export interface PeopleBed {
  readonly bus: Bus
  /** The first replica's, where browsers go. */
  readonly url: string
  readonly other: string
  readonly app: FastifyInstance
  readonly providers: { readonly oidc: string; readonly saml: string }
  /** What the sign-ins topic holds. */
  events(kind: SignInEvent['kind']): readonly SignInEvent[]
  stopProvider(which: 'oidc' | 'saml'): Promise<void>
  /** Stops the first replica and starts it anew, at the same address. */
  restart(): Promise<void>
}

const people = {
  ann: { name: 'Ann Example', email: 'ann@corp.example', groups: ['oncall', 'staff'] },
  dan: { name: 'Dan Example', email: '', groups: ['dba'] },
  max: { name: 'Max <b>Bold</b>', email: '', groups: ['platform'] },
  zoe: { name: 'Zoe', email: '', groups: [] },
}
const samlPeople = {
  'ann@old.example': { memberOf: ['cn=sec', 'oncall'], displayName: 'Ann Old', email: 'ann@old.example' },
}

export async function startPeopleBed(): Promise<Started<PeopleBed>> {
  const log = createLog({ service: 'test', level: 'silent' })
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-people-'))
  const [port = 0, otherPort = 0] = await freePorts(2)
  const url = `http://127.0.0.1:${port}`
  const clientSecret = 'secret of the client'
  writeFileSync(join(dir, 'client.secret'), clientSecret)
  const callbacks = ['corp', 'two'].map((name) => `${url}/sign-in/${name}/callback`)
  const oidc = await startOidcProvider({ people, clientId: 'gate', clientSecret, redirectUris: callbacks })
  const saml = await startSamlProvider({
    acsUrl: `${url}/sign-in/old/acs`,
    people: samlPeople,
    ...{ signAssertion: true, signResponse: true },
  })
  const client = `issuer: '${oidc.value.issuer}', clientId: gate, clientSecret: 'file:${dir}/client.secret'`
  const config = parseConfig(
    `
bus: lmdb:./bus
audit: embedded:./audit
identity:
  issuers: [{ issuer: 'https://idp.example', audience: [portcullis] }]
  own: { key: 'env:OWN_KEY' }
targets: [{ name: shop, protocol: postgres, address: '127.0.0.1:5432', groups: ['*'], credentials: { user: app } }]
proxy: { recorder: { onUnavailable: deny } }
api: { roles: { oncall: responder, dba: approver, platform: admin } }
people:
  publicUrl: ${url}
  oidc:
    - { name: corp, title: Corp, ${client} }
    - { name: two, ${client}, parameters: { prompt: login } }
  saml:
    - name: old
      title: Old directory
      idp: { metadataUrl: '${saml.value.metadataUrl}' }
      groupsAttribute: memberOf
      roles: { cn=sec: viewer }
`,
    join(dir, 'portcullis.yaml'),
  )
  const configured = signInOptionsOf(config)
  if (!configured) throw new Error('the configuration has no people')
  const bus = await connectBus(`lmdb:${join(dir, 'bus')}`, { logger: log })
  await bus.value.ensureTopics(
    Object.values(topics).map((topic) => ({ topic, partitions: 1, cleanup: 'delete', retentionMs: -1 })),
  )
  const codecs = createCodecs()
  const seen: SignInEvent[] = []
  const tail = await bus.value.tail({
    topics: [topics.signIns],
    from: 'earliest',
    onBatch(records) {
      for (const { value } of records) if (value) seen.push(codecs.signin.decode(value))
    },
  })
  const { roles } = config.api
  const start = async (at: number) => {
    const trail = createTrail({ store: { query: async () => [] }, nowUs: systemClock.nowUs })
    const instance = await startInstance(bus.value, trail, { roles, configured })
    await instance.value.listen({ host: '127.0.0.1', port: at })
    return instance
  }
  let first = await start(port)
  const second = await start(otherPort)
  const running = new Map([
    ['oidc', oidc],
    ['saml', saml as Started<unknown>],
  ])
  const stopProvider = async (which: string) => {
    const provider = running.get(which)
    running.delete(which)
    await provider?.stop()
  }
  return {
    value: {
      bus: bus.value,
      ...{ url, other: `http://127.0.0.1:${otherPort}` },
      get app() {
        return first.value
      },
      providers: { oidc: oidc.value.issuer, saml: saml.value.entityId },
      events: (kind) => seen.filter((event) => event.kind === kind),
      stopProvider,
      async restart() {
        await first.stop()
        first = await start(port)
        // Connections that fetch keeps are noticed to be gone.
        await delay(50)
      },
    },
    async stop() {
      await first.stop()
      await second.stop()
      for (const which of running.keys()) await stopProvider(which)
      await tail.stop()
      await bus.stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer()
      return new Promise<typeof server>((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)))
    }),
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
