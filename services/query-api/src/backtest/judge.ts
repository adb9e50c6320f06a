/**
 * A recorded command -> what the candidate makes of it, by the same code that decides at the gate. What a rule asks is taken from
 * the record and never worked out anew: the text may say less than the gate knew. What was not recorded is unknown to the rule,
 * which then errs to the safe side as it does there, and that it might have come out otherwise is told.
 */
import type { Effect } from '@portcullis/kernel'
import {
  attributes,
  commandValues,
  type Judged,
  type Policy,
  type Ruleset,
  type Subject,
  type Values,
} from '@portcullis/policy'
import { attributesAsked, type Row } from './query.ts'

export interface JudgedRow {
  readonly judged: Judged
  /** Attributes that were not recorded and may matter. */
  readonly doubts: readonly string[]
  /** The labels are those that the target has now. */
  readonly assumesLabels: boolean
}

export interface JudgeOptions {
  /** Undefined: there are no rules. */
  readonly policy: Policy
  readonly reads: ReadonlySet<string>
  /** Of a target as it is now; undefined where there is none of that name. */
  labelsNow(target: string): Readonly<Record<string, string>> | undefined
}

export function createRowJudge({ policy, reads, labelsNow }: JudgeOptions): (row: Row) => JudgedRow {
  const asked = attributesAsked(reads)
  const commands = createKept(
    (row) => [
      ...[row.verb, row.effects, row.privileged, row.objects, row.fingerprint],
      asked.map((name, at) => (name.startsWith('command.') ? row.recorded[at] : '')),
    ],
    (row) => commandOf(row, asked),
  )
  const rulesets = createKept((row) => [subjectOf(row, recordedLabels(row))], rulesetOf)

  function recordedLabels(row: Row): Readonly<Record<string, string>> | undefined {
    const text = row.recorded[asked.indexOf('target.labels')]
    return text ? (JSON.parse(text) as Record<string, string>) : undefined
  }

  function rulesetOf(row: Row): Ruleset {
    return policy.rulesFor(subjectOf(row, recordedLabels(row) ?? labelsNow(row.target)))
  }

  return (row) => {
    const command = commands(row)
    const ruleset = rulesets(row)
    const { live, missing: missingLive } = liveOf(row, asked)
    const missing = new Set([...command.missing, ...missingLive])
    const nowMs = (row.minute ?? 0) * 60_000
    const { judged, doubts } = ruleset.judgeRecorded(command.values, { nowMs, live }, missing)
    const lacksLabels = reads.has('target.labels') && recordedLabels(row) === undefined
    return {
      judged,
      doubts: [
        ...doubts,
        ...(row.almostNext && judged.attributes['time.now_ms'] !== undefined ? ['time.now_ms'] : []),
        ...(lacksLabels && labelsNow(row.target) === undefined ? ['target.labels'] : []),
      ],
      assumesLabels: lacksLabels,
    }
  }
}

interface Known {
  readonly values: Values
  readonly missing: readonly string[]
}

function commandOf(row: Row, asked: readonly string[]): Known {
  const { effects = [], privileged = false, objects = [], fingerprint = '', verb } = row
  const whole = commandValues({
    ...{ verb, privileged, fingerprint, returnsRows: false },
    effects: effects as readonly Effect[],
    objects: objects.map((object) => ({ ...object, effect: object.effect as Effect })),
  })
  const { where: _, has_where: __, returns_rows: ___, ...values } = whole as Record<string, unknown>
  const missing: string[] = []
  for (const [at, name] of asked.entries()) {
    const field = fieldOf(name, 'command')
    if (field === undefined) continue
    const text = row.recorded[at] || (name === 'command.where' ? unsaidWhere(effects) : '')
    if (text === '') missing.push(name, ...(name === 'command.where' ? ['command.has_where'] : []))
    else take(values, name, field, text)
  }
  if (typeof values.where === 'string') values.has_where = values.where !== 'none'
  return { values, missing }
}

/** It is recorded of all that change rows, since it is recorded at all. */
function unsaidWhere(effects: readonly string[]): string {
  return effects.some((effect) => ['write', 'delete', 'unknown'].includes(effect)) ? '' : '""'
}

function liveOf(row: Row, asked: readonly string[]) {
  const live: Record<string, Record<string, unknown>> = {}
  const missing: string[] = []
  for (const [at, name] of asked.entries()) {
    const [variable = '', field = ''] = name.split('.')
    if (variable === 'command' || name === 'target.labels') continue
    const text = row.recorded[at] ?? ''
    live[variable] ??= {}
    if (text === '') missing.push(name)
    else take(live[variable], name, field, text)
  }
  return { live, missing }
}

/** null: it could not be known then either. */
function take(values: Record<string, unknown>, name: string, field: string, text: string): void {
  const value: unknown = JSON.parse(text)
  if (value !== null) values[field] = typeOf(name) === 'int' ? BigInt(text) : value
}

function typeOf(name: string): string | undefined {
  const [variable = '', field = ''] = name.split('.')
  const types: Readonly<Record<string, Readonly<Record<string, string>>>> = attributes
  return types[variable]?.[field]
}

function fieldOf(name: string, variable: string): string | undefined {
  return name.startsWith(`${variable}.`) ? name.slice(variable.length + 1) : undefined
}

function subjectOf(row: Row, labels: Readonly<Record<string, string>> | undefined): Subject {
  const { issuer, subject, groups = [], delegation = [], instance = '', task = '' } = row
  return {
    identity: { issuer, subject, groups, delegation, instance, task, ancestors: [] },
    ...{ protocol: row.protocol, target: row.target, role: row.role ?? '', database: row.database ?? '' },
    labels: labels ?? {},
    origin: {
      address: row.origin_address ?? '',
      country: row.origin_country ?? '',
      region: row.origin_region ?? '',
      asn: row.asn ?? 0,
      asOrg: '',
    },
  }
}

/** What is made of rows that are the same in a key is made once. */
function createKept<T>(keyOf: (row: Row) => readonly unknown[], make: (row: Row) => T): (row: Row) => T {
  const kept = new Map<string, T>()
  return (row) => {
    const key = JSON.stringify(keyOf(row))
    const known = kept.get(key)
    if (known !== undefined) return known
    if (kept.size >= keptMax) kept.clear()
    const made = make(row)
    kept.set(key, made)
    return made
  }
}

const keptMax = 20_000
