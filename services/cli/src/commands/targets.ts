import type { Command } from '../command.ts'
import { shown } from '../errors.ts'
import { gateOf, targetsOf } from '../gate.ts'
import { sourceOptions } from '../proof.ts'
import { table } from '../table.ts'

export const targetsList: Command = {
  name: 'targets list',
  summary: 'What you may reach, and in which roles',
  usage: '[--from SOURCE]',
  example: 'portcullis targets list',
  options: sourceOptions,
  async run(call) {
    const { api, proof } = gateOf(call)
    const targets = await targetsOf(api, await proof())
    const rows = targets.map(({ name, protocol, roles, database, address, tls, labels }) => [
      name,
      protocol,
      roles.map((role) => role || '-').join(','),
      database,
      `${address}${tls ? '' : ' (no TLS)'}`,
      Object.entries(labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(','),
    ])
    const head = ['NAME', 'PROTOCOL', 'ROLES', 'DATABASE', 'ADDRESS', 'LABELS']
    const text =
      rows.length === 0 ? 'You may reach no target.' : table([head, ...rows.map((row) => row.map(shown))])
    call.out.result({ items: targets }, text)
    return 0
  },
}
