// Rules by people -> what may run. Pure, but for reading its own library and the file that a configuration names: no clock
// and no socket. Refuses to let anything through for what it does not know.
export type { ApprovalTerms } from './approval-schema.ts'
export { attributes, commandValues, isOnEvents, type Values, whereAttribute } from './attributes.ts'
export { loadPolicy, type PolicyTarget } from './check-targets.ts'
export {
  createDocumentReader,
  createPolicyReader,
  type PolicyDocument,
  type PolicyFile,
} from './documents.ts'
export { PolicyError } from './errors.ts'
export { type Example, exampleProblems } from './examples.ts'
export { loadPolicyFile, policyWarnings } from './file.ts'
export { libraryNames } from './library.ts'
export { type ParsedPolicy, type ParsedRule, parsePolicy } from './parse.ts'
export { createPolicy, isRuled, type Moment, type Policy, type Ruleset } from './policy.ts'
export { readsOf } from './reads.ts'
export type { Mask, RuleCaps } from './schema.ts'
export type { Judged, Live, RuleMask, Subject } from './types.ts'
