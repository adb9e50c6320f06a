/**
 * `vault:PATH#FIELD`: HashiCorp Vault and OpenBao over their HTTP API (Vault's API documentation: "KV secrets engine
 * version 2", "Databases", "/sys/leases"). Which engine a path leads to the answer tells: KV version 2 has `data.data`
 * and `data.metadata`, everything else `data`; what is lent has a `lease_id`.
 *
 * Refuses a path below `sys/` or `auth/`: a reference reads secrets and nothing else.
 */
import type { Clock } from '@portcullis/kernel'
import { VaultError } from '../errors.ts'
import { type Answer, exchange, isObject, jsonObject } from '../http.ts'
import { type Document, fieldsOf, refusedAs, type Source } from '../source.ts'
import { createLogins, type HashicorpAuth, secondsOf } from './hashicorp-login.ts'
import type { ReadLocal } from './local.ts'

export interface HashicorpSettings {
  /** `https://HOST:PORT`. */
  readonly address: string
  readonly namespace?: string | undefined
  /** PEM. */
  readonly ca?: string | undefined
  readonly auth: HashicorpAuth
  /** Of one exchange. */
  readonly timeoutMs: number
}

/** One call under /v1/ as the gate's login, which is made anew where it is over. Rejects with VaultError where there is no answer. */
export type CallVault = (
  method: 'GET' | 'POST',
  path: string,
  body?: object,
) => Promise<Answer & { readonly login: number }>

const whose = 'Vault'

export interface Hashicorp {
  readonly source: Source
  /** For the engines that are no source: transit. */
  readonly call: CallVault
}

export function createHashicorp(
  settings: HashicorpSettings,
  deps: { readonly clock: Clock; readonly readLocal: ReadLocal },
): Hashicorp {
  const { address, namespace, ca, timeoutMs } = settings
  const ask = (method: 'GET' | 'POST', path: string, token: string, body?: object) =>
    exchange(new URL(`/v1/${path}`, address), {
      method,
      timeoutMs,
      ca,
      headers: {
        'x-vault-request': 'true',
        ...(token !== '' && { 'x-vault-token': token }),
        ...(namespace !== undefined && { 'x-vault-namespace': namespace }),
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    })
  const logins = createLogins({ auth: settings.auth, ask, ...deps })

  const call: CallVault = async (method, path, body) => {
    const login = await logins.current()
    const answer = await ask(method, path, login.token, body)
    if (answer.status !== 403 || !(await logins.isOver(login))) return { ...answer, login: login.number }
    const again = await logins.current()
    return { ...(await ask(method, path, again.token, body)), login: again.number }
  }

  const source: Source = {
    async read({ path, text }) {
      if (/^(?:sys|auth)\//.test(path)) throw new VaultError('reference', `${text}: is no path of a secret`)
      const { status, text: body, login } = await call('GET', path)
      // Of a role that the database engine does not know.
      if (status === 400) throw refusedAs(404, whose, text)
      if (status !== 200) throw refusedAs(status, whose, text)
      return documentOf(body, login, text)
    },
    async renew(lease) {
      const { status, text } = await call('POST', 'sys/leases/renew', { lease_id: lease.id })
      // Of a lease that is over.
      if (status === 400) throw refusedAs(404, whose, 'sys/leases/renew')
      if (status !== 200) throw refusedAs(status, whose, 'sys/leases/renew')
      return secondsOf(jsonObject(text, whose).lease_duration)
    },
    async revoke(lease) {
      const { status } = await call('POST', 'sys/leases/revoke', { lease_id: lease.id })
      if (status >= 300) throw refusedAs(status, whose, 'sys/leases/revoke')
    },
    login: () => logins.number,
    stop: logins.stop,
  }
  return { source, call }
}

function documentOf(body: string, login: number, reference: string): Document {
  const { data, lease_id: id, lease_duration: duration, renewable } = jsonObject(body, whose)
  if (!isObject(data)) throw new VaultError('malformed', `${reference}: Vault answered without data`)
  const isVersioned = isObject(data.metadata) && 'data' in data
  const inner = isVersioned ? data.data : data
  if (!isObject(inner)) throw new VaultError('not_found', `${reference}: the newest version is deleted`)
  const fields = fieldsOf(inner)
  if (typeof id !== 'string' || id === '') return { fields }
  return { fields, lease: { id, durationMs: secondsOf(duration), renewable: renewable === true, login } }
}
