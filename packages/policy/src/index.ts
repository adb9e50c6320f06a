// Rules by people -> what may run. Pure: it reads no clock, no socket and no file but its own library. Refuses to let
// anything through for what it does not know.
export { attributes } from './attributes.ts'
export { loadPolicy, type PolicyTarget } from './check-targets.ts'
export { PolicyError } from './errors.ts'
export { type Example, exampleProblems } from './examples.ts'
export { libraryNames } from './library.ts'
export { type ParsedPolicy, parsePolicy } from './parse.ts'
export { createPolicy, type Policy, type Ruleset } from './policy.ts'
export type { Mask, RuleCaps } from './schema.ts'
export type { Judged, Live, Subject } from './types.ts'
