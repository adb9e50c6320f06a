/** What can be configured by the API, kind by kind: what the file has of it, what the log has, and how one is checked. */
import { type Checked, checkIssuer, checkTarget, type TargetConfig } from '@portcullis/config'
import { aimsWithin, referencesOf } from '@portcullis/config/secret-aims'
import {
  type ControlChange,
  type ControlState,
  policyAggregate,
  policyCharsMax,
  settingAggregate,
  type SettingMark,
} from '@portcullis/kernel'
import { isRuled, loadPolicy, PolicyError } from '@portcullis/policy'
import { isRole } from '../auth.ts'
import type { SettingsFile } from './book.ts'
import type { PolicyInForce } from './policy.ts'

export type Content = Readonly<Record<string, unknown>>
type Problems = Checked<unknown>['problems']

export interface SettingKind {
  /** For people. */
  readonly what: string
  readonly fromFile: ReadonlyMap<string, Content>
  fromLog(state: ControlState): ReadonlyMap<string, { readonly mark: SettingMark; readonly content: Content }>
  /** None, or undefined, where it is good. */
  check(id: string, content: Content, state: ControlState): Problems
  /** As it is kept: without what the address says already. */
  kept(content: Content): Content
  put(id: string, kept: Content): ControlChange
  /** Why it must not be removed unless whoever asks says that they know what opens; undefined where nothing does. */
  opens?(id: string, state: ControlState): string | undefined
  /** `open`: whoever asks knows. */
  remove(id: string, reason: string, open: boolean): ControlChange
  aggregate(id: string): string
}

export interface SettingKinds {
  readonly targets: SettingKind
  readonly issuers: SettingKind
  readonly roleMappings: SettingKind
  readonly policies: SettingKind
}

/** `targetsNow`: those that a policy may be about. */
export function settingKinds(
  config: SettingsFile,
  targetsNow: () => readonly TargetConfig[],
  inForce: (state: ControlState) => Pick<PolicyInForce, 'rulesBeside'>,
): SettingKinds {
  const { targets, identity, api } = config
  return {
    targets: {
      what: 'target',
      fromFile: new Map(targets.map(({ name, ...content }) => [name, content])),
      fromLog: (state) => contents(state.targets),
      check(name, content, state) {
        const { value, problems } = checkTarget(name, content, config)
        return value ? absentSecrets(value, state) : problems
      },
      kept: ({ name: _, ...content }) => content,
      put: (name, target) => ({ type: 'target.put', name, target }),
      remove: (name, reason) => ({ type: 'target.removed', name, reason }),
      aggregate: (name) => settingAggregate({ name }),
    },
    issuers: {
      what: 'issuer',
      fromFile: new Map(identity.issuers.map(({ issuer, ...content }) => [issuer, content])),
      fromLog: (state) => contents(state.issuers),
      check: (issuer, content) => checkIssuer(issuer, content, config).problems,
      kept: ({ issuer: _, ...content }) => content,
      put: (issuer, trust) => ({ type: 'issuer.put', issuer, trust }),
      remove: (issuer, reason) => ({ type: 'issuer.removed', issuer, reason }),
      aggregate: (issuer) => settingAggregate({ issuer }),
    },
    roleMappings: {
      what: 'role mapping',
      fromFile: new Map(Object.entries(api.roles).map(([group, role]) => [group, { role }])),
      fromLog: (state) =>
        new Map(Array.from(state.roleMappings, ([group, mapping]) => [group, ofMapping(mapping)])),
      check: (_, content) => roleProblems(content),
      kept: (content) => content,
      put: (group, content) => ({ type: 'role-mapping.put', group, role: String(content.role) }),
      remove: (group, reason) => ({ type: 'role-mapping.removed', group, reason }),
      aggregate: (group) => settingAggregate({ group }),
    },
    policies: {
      what: 'policy',
      // The file's has no name, and none here is in its way: the rules of all of them are asked together.
      fromFile: new Map(),
      fromLog: ({ policies }) =>
        new Map(
          Array.from(policies, ([name, { text, name: _, ...mark }]) => [name, { mark, content: { text } }]),
        ),
      check: (name, content, { policies }) => [
        ...(policies.size >= policiesMax && !policies.has(name)
          ? [{ path: [], message: `there are ${policiesMax} policies already` }]
          : []),
        ...policyProblems(name, content, targetsNow(), {
          key: config.masking.key !== undefined,
          presidio: config.proxy.presidio !== undefined,
        }),
      ],
      kept: (content) => content,
      put: (name, content) => ({ type: 'policy.put', name, text: String(content.text) }),
      opens(name, state) {
        const { rulesBeside } = inForce(state)
        const [all, others] = [rulesBeside(undefined), rulesBeside(name)]
        const opened = targetsNow().flatMap(({ name: target, protocol, labels }) => {
          const one = { target, protocol, labels }
          return isRuled(all, one) && !isRuled(others, one) ? [target] : []
        })
        const isLast = config.policy === undefined && state.policies.size === 1
        if (opened.length === 0 && !isLast) return undefined
        const where = opened.length === 0 ? 'anywhere' : `at ${opened.slice(0, 20).join(', ')}`
        return `These are the last rules ${where}: without them whoever may connect may run anything there. Put others first, or say that this is meant: ?open=true (--open).`
      },
      remove: (name, reason, open) => ({
        ...{ type: 'policy.removed', name, reason },
        last: open || config.policy !== undefined,
      }),
      aggregate: policyAggregate,
    },
  }
}

/** A target that could not sign in, or must not, would be found out by its first session only. */
function absentSecrets(target: TargetConfig, { sealedSecrets }: ControlState): Problems {
  const problems = sealedIn(target).flatMap(({ path, name }) => {
    const secret = sealedSecrets.get(name)
    if (!secret) return [{ path, message: `there is no sealed secret ${name}: put it first` }]
    if (!secret.addresses || aimsWithin(secret.addresses, target)) return []
    const here = [target.address].flat().join(', ')
    const message = `${name} may not be sent to ${here}: whoever has it can put it again, with that in addresses`
    return [{ path, message }]
  })
  return problems.length > 0 ? problems : undefined
}

/** The sealed secrets that a target signs in with, each with its place. */
export function sealedIn(target: TargetConfig): { path: string[]; name: string }[] {
  return referencesOf(target).flatMap(({ path, reference }) =>
    reference.startsWith('sealed:') ? [{ path, name: reference.slice('sealed:'.length) }] : [],
  )
}

const policiesMax = 100

function policyProblems(
  name: string,
  { text, ...others }: Content,
  targets: readonly TargetConfig[],
  has: Parameters<typeof loadPolicy>[3],
): NonNullable<Problems> {
  const unknown = Object.keys(others).map((key) => ({ path: [key], message: 'unknown key' }))
  if (typeof text !== 'string' || text.length > policyCharsMax)
    return [...unknown, { path: ['text'], message: `must be YAML of at most ${policyCharsMax} characters` }]
  const known = targets.map(({ name: target, protocol, labels }) => ({ target, protocol, labels }))
  try {
    loadPolicy(text, name, known, has)
    return unknown
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error
    return [...unknown, ...error.problems.map((message) => ({ path: ['text'], message }))]
  }
}

function roleProblems(content: Content): Problems {
  const { role, ...others } = content
  const problems = [
    ...Object.keys(others).map((key) => ({ path: [key], message: 'unknown key' })),
    ...(typeof role === 'string' && isRole(role)
      ? []
      : [{ path: ['role'], message: 'must be viewer, responder, approver or admin' }]),
  ]
  return problems.length > 0 ? problems : undefined
}

function contents(stored: ControlState['targets']) {
  return new Map(
    Array.from(stored, ([id, { json, id: _, ...mark }]) => [
      id,
      { mark, content: JSON.parse(json) as Content },
    ]),
  )
}

function ofMapping({ role, group: _, ...mark }: SettingMark & { group: string; role: string }) {
  return { mark, content: { role } }
}
