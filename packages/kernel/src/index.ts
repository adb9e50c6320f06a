export * from './budget.ts'
export * from './bus.ts'
export * from './clock.ts'
export * from './command.ts'
export * from './content.ts'
export type { Rejection, RejectionCode } from './control/aggregate.ts'
export type { ApiKey, ApiKeyGrant } from './control/api-keys.ts'
export {
  type AccessRequest,
  type Answer,
  type Approval,
  type ApprovalAnswered,
  type ApprovalChange,
  type ApprovalRequest,
  type CommandRequest,
  objectionTo,
  objectionToApprover,
  overBy,
  type Quorum,
  type Standing,
  standingOf,
} from './control/approval.ts'
export { approvalAggregate, approversMax, statementCharsMax } from './control/approvals.ts'
export { aggregateOf, checkChange, type ControlChange } from './control/change.ts'
export * from './control/fold.ts'
export {
  type Holdings,
  holdingsOf,
  noHoldings,
  type PublicSigningKey,
} from './control/holdings.ts'
export { policyAggregate, policyCharsMax, type StoredPolicy } from './control/policy.ts'
export { type SealedSecret, secretAggregate } from './control/sealed-secrets.ts'
export {
  type RoleMapping,
  settingAggregate,
  settingCharsMax,
  type SettingMark,
  type StoredSetting,
} from './control/settings.ts'
export type { SigningKey } from './control/signing-keys.ts'
export { type HandVerdict, type Lifting, verdictAggregate } from './control/verdicts.ts'
export * from './decision.ts'
export * from './detector.ts'
export * from './errors.ts'
export type {
  BaselineEvent,
  CommandEvent,
  ControlEvent,
  FindingEvent,
  RecordingEvent,
  SessionEvent,
  SignInEvent,
  Severity,
  VerdictEvent,
} from './events.gen.ts'
export * from './identity.ts'
export * from './lineage.ts'
export * from './mask.ts'
export * from './protocol.ts'
export * from './recorder.ts'
export * from './sink.ts'
export * from './started.ts'
export * from './verdict.ts'
export { visibleLine, visibleText } from './visible.ts'
