/**
 * What an issuer's configuration says of its claims in expressions: which tokens are taken at all, and what names the
 * subject, the groups, the running copy and its task. Pure. An expression that reads what a token does not have refuses the token.
 */
import {
  compileExpression,
  type Expression,
  ExpressionError,
  type ExpressionInput,
  inputOf,
  type ResultType,
} from '@portcullis/expressions'
import type { Claims } from './claims.ts'
import { IdentityError } from './errors.ts'
import type { IssuerConfig } from './issuer-config.ts'

export interface Mapping {
  readonly conditions: readonly Expression<'bool'>[]
  readonly subject: Expression<'string'> | undefined
  readonly groups: Expression<'strings'> | undefined
  readonly addGroups: readonly string[]
  readonly instance: Expression<'string'> | undefined
  readonly task: Expression<'string'> | undefined
}

type Written = { readonly [Key in keyof Mapping]: IssuerConfig[Key] | undefined }

/** `refuse` throws. */
export function mappingOf(written: Written, refuse: (setting: string, why: string) => never): Mapping {
  const compile = <Type extends ResultType>(setting: string, text: string, type: Type): Expression<Type> => {
    try {
      return compileExpression(text, variable, type)
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error
      return refuse(setting, `${JSON.stringify(text)} ${error.message}`)
    }
  }
  const { conditions = [], subject, groups, addGroups = [], instance, task } = written
  return {
    conditions: conditions.map((text, at) => compile(`conditions.${at}`, text, 'bool')),
    subject: subject === undefined ? undefined : compile('subject', subject, 'string'),
    groups: groups === undefined ? undefined : compile('groups', groups, 'strings'),
    addGroups,
    instance: instance === undefined ? undefined : compile('instance', instance, 'string'),
    task: task === undefined ? undefined : compile('task', task, 'string'),
  }
}

export interface Mapped {
  readonly subject: string | undefined
  readonly groups: readonly string[] | undefined
  readonly instance: string | undefined
  readonly task: string | undefined
}

/**
 * Undefined where the mapping has no expression for it. Throws IdentityError `condition` that says which does not hold,
 * and claim_missing or claim_invalid where a claim that an expression reads is not there or not fit.
 */
export function mapped(claims: Claims, mapping: Mapping): Mapped {
  const { conditions, subject, groups, instance, task } = mapping
  if (conditions.length === 0 && !subject && !groups && !instance && !task) return nothing
  const input = inputFrom(claims)
  for (const condition of conditions) requireTrue(condition, input)
  return {
    subject: subject && given('subject', subject, input),
    groups: groups && given('groups', groups, input),
    instance: instance && given('instance', instance, input),
    task: task && given('task', task, input),
  }
}

const variable = 'claims'
const nothing: Mapped = { subject: undefined, groups: undefined, instance: undefined, task: undefined }

function inputFrom(claims: Claims): ExpressionInput {
  try {
    return inputOf(variable, claims)
  } catch (cause) {
    throw new IdentityError('claim_invalid', `the claims cannot be read: ${messageOf(cause)}`, { cause })
  }
}

function requireTrue(condition: Expression<'bool'>, input: ExpressionInput): void {
  let holds: boolean
  try {
    holds = condition.evaluate(input)
  } catch (cause) {
    throw new IdentityError(
      'condition',
      `the condition ${JSON.stringify(condition.text)} ${messageOf(cause)}`,
      {
        cause,
      },
    )
  }
  if (!holds)
    throw new IdentityError('condition', `the condition ${JSON.stringify(condition.text)} does not hold`)
}

function given<Value>(
  setting: keyof Mapped,
  { text, evaluate }: { text: string; evaluate(input: ExpressionInput): Value },
  input: ExpressionInput,
): Value {
  try {
    return evaluate(input)
  } catch (cause) {
    const code =
      cause instanceof ExpressionError && cause.code === 'missing' ? 'claim_missing' : 'claim_invalid'
    throw new IdentityError(code, `${setting} (${JSON.stringify(text)}) ${messageOf(cause)}`, { cause })
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
