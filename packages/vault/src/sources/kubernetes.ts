/**
 * `k8s:NAMESPACE/NAME#KEY`: a Secret of the Kubernetes API, read as the pod's own service account (Kubernetes API
 * reference, "Secret v1 core"; "Accessing the API from within a Pod"). The token's file is read anew each time: the
 * kubelet rotates it.
 */
import { VaultError } from '../errors.ts'
import { exchange, isObject, jsonObject } from '../http.ts'
import { refusedAs, type Source } from '../source.ts'
import { readFile } from './local.ts'

export interface KubernetesSettings {
  readonly server: string
  readonly tokenFile: string
  /** Path of a PEM file. */
  readonly ca: string
  /** Of one exchange. */
  readonly timeoutMs: number
}

const whose = 'the Kubernetes API'

export function createKubernetes({ server, tokenFile, ca, timeoutMs }: KubernetesSettings): Source {
  return {
    async read({ path, text }) {
      const [namespace = '', name = ''] = path.split('/')
      const answer = await exchange(new URL(`/api/v1/namespaces/${namespace}/secrets/${name}`, server), {
        method: 'GET',
        headers: { authorization: `Bearer ${readFile(tokenFile)}` },
        timeoutMs,
        ...(server.startsWith('https:') && { ca: readFile(ca) }),
      })
      if (answer.status !== 200) throw refusedAs(answer.status, whose, text)
      const { data = {} } = jsonObject(answer.text, whose)
      if (!isObject(data)) throw new VaultError('malformed', `${text}: ${whose} answered without data`)
      const fields = Object.entries(data).map(([key, value]): [string, string] => [
        key,
        Buffer.from(String(value), 'base64').toString('utf8'),
      ])
      return { fields: new Map(fields) }
    },
  }
}
