/** Every kind of change to control state, and the strict check of what an event carries. */
import type { Aggregate, Occurrence, Rejection } from './aggregate.ts'
import { type ApiKeyChange, apiKeyControl, type ApiKeyParts } from './api-keys.ts'
import { fieldReader, type FieldReader, parseFields } from './fields.ts'
import type { ApprovalChange } from './approval.ts'
import { approvalControl, type ApprovalParts } from './approvals.ts'
import { type PolicyChange, policyControl, type PolicyParts } from './policy.ts'
import { type SealedSecretChange, sealedSecretControl, type SealedSecretParts } from './sealed-secrets.ts'
import { type SettingChange, settingControl, type SettingParts } from './settings.ts'
import { type SigningKeyChange, signingKeyControl, type SigningKeyParts } from './signing-keys.ts'
import { type SshCertificateChange, sshCertificateControl } from './ssh-certificates.ts'
import { type VerdictChange, verdictControl, type VerdictParts } from './verdicts.ts'

/** Payloads by event type; the JSON in ControlEvent.payload. Fields that a reader does not know are ignored. */
export type ControlChange =
  | VerdictChange
  | SigningKeyChange
  | ApiKeyChange
  | SealedSecretChange
  | SettingChange
  | SshCertificateChange
  | ApprovalChange
  | PolicyChange

/** What the changes are folded into. */
export type ControlParts = VerdictParts &
  SigningKeyParts &
  ApiKeyParts &
  SealedSecretParts &
  SettingParts &
  ApprovalParts &
  PolicyParts

export function initialParts(): ControlParts {
  return {
    verdicts: new Map(),
    lifted: new Map(),
    signingKeys: new Map(),
    apiKeys: new Map(),
    sealedSecrets: new Map(),
    targets: new Map(),
    issuers: new Map(),
    removedIssuers: new Map(),
    roleMappings: new Map(),
    approvals: new Map(),
    policies: new Map(),
  }
}

const kinds = new Map<string, Kind>([
  ...kindsOf(verdictControl),
  ...kindsOf(signingKeyControl),
  ...kindsOf(apiKeyControl),
  ...kindsOf(sealedSecretControl),
  ...kindsOf(settingControl),
  ...kindsOf(sshCertificateControl),
  ...kindsOf(approvalControl),
  ...kindsOf(policyControl),
])

/** The change that an event carries, holding only known fields, or why it is none. */
export function checkChange(type: string, payload: string): ControlChange | Rejection {
  const kind = kinds.get(type)
  if (!kind) return { code: 'unknown_type', why: `this version does not know events of type ${type}` }
  const fields = parseFields(payload)
  if (fields === undefined) return { code: 'invalid', why: `${type}: the payload is not a JSON object` }
  const problems: string[] = []
  const change = kind.read(fieldReader(fields, '', problems), problems)
  return problems.length === 0 ? change : { code: 'invalid', why: `${type}: ${problems.join('; ')}` }
}

/** The aggregate that a change belongs to; the fold refuses it under any other. */
export function aggregateOf(change: ControlChange): string {
  return kindOf(change).idOf(change)
}

/** Changes `parts` in place, or says why not and leaves them. */
export function applyChange(
  parts: ControlParts,
  change: ControlChange,
  occurrence: Occurrence,
): Rejection | undefined {
  return kindOf(change).apply(parts, change, occurrence)
}

interface Kind {
  read(read: FieldReader, problems: string[]): ControlChange
  idOf(change: ControlChange): string
  apply(parts: ControlParts, change: ControlChange, occurrence: Occurrence): Rejection | undefined
}

function kindOf(change: ControlChange): Kind {
  const kind = kinds.get(change.type)
  if (!kind) throw new Error(`no aggregate takes changes of type ${change.type}`)
  return kind
}

/** One entry a type. The table is looked up by the type of a change, so that each aggregate gets its own alone. */
function kindsOf<Change extends ControlChange, Parts>(
  aggregate: ControlParts extends Parts ? Aggregate<Change, Parts> : never,
): [string, Kind][] {
  return Object.entries<(read: FieldReader, problems: string[]) => Change>(aggregate.readers).map(
    ([type, read]) => [
      type,
      {
        read,
        idOf: (change) => aggregate.idOf(change as Change),
        apply: (parts, change, occurrence) => aggregate.apply(parts as Parts, change as Change, occurrence),
      },
    ],
  )
}
