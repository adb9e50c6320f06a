/**
 * Portcullis as its real processes with real providers to sign in by, an OpenID one and a SAML one, and a real PostgreSQL
 * behind the gate: what it takes to follow a person from a browser to a query. For tests and for the transcript.
 */
import { type AddressInfo, createServer } from 'node:net'
import type { Started } from '@portcullis/kernel'
import { startOidcProvider } from './oidc-idp.ts'
import { type Postgres, startPostgres } from './postgres.ts'
import { startSamlProvider } from './saml-idp.ts'
import { startSystem, type System, type SystemOptions } from './system.ts'

export interface PeopleSystem {
  readonly system: System
  readonly postgres: Postgres
  /** Takes a provider away for good. */
  stopProvider(which: 'oidc' | 'saml'): Promise<void>
}

const clientSecret = 'the secret of the client'
const people = {
  ann: { name: 'Ann Example', email: 'ann@corp.example', groups: ['agents', 'oncall'] },
  dan: { name: 'Dan Example', email: 'dan@corp.example', groups: ['dba'] },
}
const samlPeople = {
  'ben@old.example': { memberOf: ['agents'], displayName: 'Ben Example', email: 'ben@old.example' },
}

export async function startPeopleSystem(
  more: Pick<SystemOptions, 'policy'> = {},
): Promise<Started<PeopleSystem>> {
  const running = new Map<string, Started<unknown>>()
  const postgres = await startPostgres({ auth: 'scram-sha-256' })
  const stopAll = async () => {
    for (const part of [...running.values()].reverse()) await part.stop()
    await postgres.stop()
  }
  try {
    const apiPort = await freePort()
    const apiUrl = `http://127.0.0.1:${apiPort}`
    const oidc = await startOidcProvider({
      ...{ people, clientId: 'portcullis', clientSecret },
      redirectUris: [`${apiUrl}/sign-in/corp/callback`],
    })
    running.set('oidc', oidc)
    const saml = await startSamlProvider({
      acsUrl: `${apiUrl}/sign-in/old/acs`,
      ...{ people: samlPeople, signAssertion: true, signResponse: true },
    })
    running.set('saml', saml)
    const system = await startSystem({
      postgres: postgres.value,
      parts: ['proxy', 'query-api', 'projector'],
      env: { CORP_CLIENT_SECRET: clientSecret },
      apiPort,
      ...more,
      extra: {
        people: `publicUrl: ${apiUrl}
oidc:
  - name: corp
    title: Corp
    issuer: ${oidc.value.issuer}
    clientId: portcullis
    clientSecret: env:CORP_CLIENT_SECRET
    roles: { oncall: responder, dba: approver }
saml:
  - name: old
    title: the old directory
    idp: { metadataUrl: '${saml.value.metadataUrl}' }
    groupsAttribute: memberOf
    roles: { agents: viewer }`,
      },
    })
    running.set('system', system)
    return {
      value: {
        ...{ system: system.value, postgres: postgres.value },
        async stopProvider(which) {
          await running.get(which)?.stop()
          running.delete(which)
        },
      },
      stop: stopAll,
    }
  } catch (error) {
    await stopAll()
    throw error
  }
}

/** The providers must know it before the API starts. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
