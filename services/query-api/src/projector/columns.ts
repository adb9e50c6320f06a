/** Columns that several tables share: who, from where, what was decided, where in the chain and on the bus. */
import { type CommandEvent, type Identity, identityKey, type Origin, type Received } from '@portcullis/kernel'
import type { Column } from '@portcullis/platform/audit'

/** What every row carries besides its own: the record it came from, so that it can be written again or given up. */
export interface Source {
  readonly record: Received
  /** CRC-64-AVRO of the schema that wrote the record, 16 hex digits. */
  readonly schema: string
}

export const text = 'LowCardinality(String)'
export const time = 'DateTime64(6)'

export function bus<Row extends Source>(): Column<Row>[] {
  return [
    { name: 'schema_fingerprint', type: text, of: (row) => row.schema },
    { name: 'bus_partition', type: 'Int32', of: (row) => row.record.partition },
    { name: 'bus_offset', type: 'Int64', of: (row) => row.record.offset },
  ]
}

export function link<Row>(of: (row: Row) => CommandEvent['link']): Column<Row>[] {
  return [
    { name: 'recorder', type: text, of: (row) => of(row).recorder },
    { name: 'seq', type: 'Int64', of: (row) => of(row).seq },
    { name: 'prev_hash', type: 'FixedString(32)', of: (row) => of(row).prevHash },
    { name: 'hash', type: 'FixedString(32)', of: (row) => of(row).hash },
  ]
}

const nobody: Identity = {
  ...{ issuer: '', subject: '', groups: [], delegation: [], instance: '' },
  ...{ task: '', ancestors: [] },
}

export function identity<Row>(of: (row: Row) => Identity | null): Column<Row>[] {
  const who = (row: Row) => of(row) ?? nobody
  return [
    {
      name: 'identity',
      type: text,
      of: (row) => {
        const found = of(row)
        return found ? identityKey(found) : ''
      },
    },
    { name: 'issuer', type: text, of: (row) => who(row).issuer },
    { name: 'subject', type: text, of: (row) => who(row).subject },
    { name: 'groups', type: `Array(${text})`, of: (row) => who(row).groups },
    {
      name: 'delegation',
      type: 'Array(Tuple(String, String, String))',
      of: (row) => who(row).delegation.map(({ issuer, subject, kind }) => [issuer, subject, kind]),
    },
    { name: 'instance', type: 'String', of: (row) => who(row).instance },
    { name: 'task', type: 'String', of: (row) => who(row).task },
    { name: 'ancestors', type: 'Array(String)', of: (row) => who(row).ancestors },
  ]
}

export function origin<Row>(of: (row: Row) => Origin): Column<Row>[] {
  return [
    { name: 'origin_address', type: 'String', of: (row) => of(row).address },
    { name: 'origin_country', type: text, of: (row) => of(row).country },
    { name: 'origin_region', type: text, of: (row) => of(row).region },
    { name: 'origin_asn', type: 'Int64', of: (row) => of(row).asn },
    { name: 'origin_as_org', type: text, of: (row) => of(row).asOrg },
  ]
}

export function decision<Row>(of: (row: Row) => CommandEvent['decision']): Column<Row>[] {
  return [
    { name: 'decision_id', type: 'String', of: (row) => of(row).id },
    { name: 'decision_action', type: text, of: (row) => of(row).action },
    { name: 'decision_reason', type: text, of: (row) => of(row).reason },
    { name: 'decision_rule', type: text, of: (row) => of(row).rule },
    { name: 'decision_verdict_id', type: 'String', of: (row) => of(row).verdictId },
    { name: 'decision_approval_id', type: 'String', of: (row) => of(row).approvalId },
    { name: 'decision_policy_version', type: text, of: (row) => of(row).policyVersion },
    { name: 'decision_enforced', type: 'Bool', of: (row) => of(row).enforced },
    { name: 'decision_delay_us', type: 'Int64', of: (row) => of(row).delayUs },
  ]
}
