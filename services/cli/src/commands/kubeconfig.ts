import { readFileSync } from 'node:fs'
import type { Command } from '../command.ts'
import { CliError } from '../errors.ts'
import { gateOf, type Target, targetsOf } from '../gate.ts'
import { sourceOptions } from '../proof.ts'

export const kubeconfig: Command = {
  name: 'kubeconfig',
  summary: 'Print a kubeconfig for the Kubernetes targets that you may reach',
  usage: '[--from SOURCE]',
  details: ['kubectl gets its token from `portcullis token` each time; none stands in the file.'],
  example: 'portcullis kubeconfig > ~/.kube/portcullis && KUBECONFIG=~/.kube/portcullis kubectl get pods',
  options: sourceOptions,
  async run(call) {
    const { api, proof } = gateOf(call)
    const targets = (await targetsOf(api, await proof())).filter(({ protocol }) => protocol === 'kubernetes')
    if (targets.length === 0)
      throw new CliError(
        'no_door',
        `${api.url} has no Kubernetes target for you`,
        'its door for kubectl may not exist yet: portcullis targets list shows what there is',
      )
    const file = call.env.PORTCULLIS_CA
    const ca = file ? readFileSync(file).toString('base64') : undefined
    const config = kubeconfigOf(targets, api.url, ca)
    // Every JSON document is YAML.
    call.out.result(config, JSON.stringify(config, undefined, 2))
    return 0
  },
}

/** `ca`: PEM in base64. */
export function kubeconfigOf(targets: readonly Target[], url: string, ca: string | undefined): object {
  const named = (name: string) => `portcullis-${name}`
  return {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': named(targets[0]?.name ?? ''),
    clusters: targets.map(({ name, address }) => ({
      name: named(name),
      cluster: { server: `https://${address}/${name}`, ...(ca && { 'certificate-authority-data': ca }) },
    })),
    users: targets.map(({ name }) => ({
      name: named(name),
      user: {
        exec: {
          // Every kubectl since 1.11 knows it; v1 begins with 1.22.
          apiVersion: 'client.authentication.k8s.io/v1beta1',
          command: 'portcullis',
          args: ['token', '--exec-credential', '--url', url, '--target', name],
          interactiveMode: 'Never',
        },
      },
    })),
    contexts: targets.map(({ name }) => ({
      name: named(name),
      context: { cluster: named(name), user: named(name) },
    })),
  }
}
