/** The forms of values that several parts of the schema share. */
import { z } from 'zod'

export const positive = z.number().int().positive()

export function isHostPort(text: string): boolean {
  return (
    /^(\[[0-9a-fA-F:]+\]|[^\s:]+):\d{1,5}$/.test(text) &&
    Number(text.slice(text.lastIndexOf(':') + 1)) <= 65535
  )
}

/** Where a secret may be sent by a target of the API. */
export const aimAddress = z
  .string()
  .refine((text) => text === '*' || isHostPort(text), 'must be HOST:PORT, or "*" for every address')

/** A group that an issuer says somebody is in. */
export const groupRef = z.union(
  [z.string(), z.strictObject({ issuer: z.string().min(1), group: z.string().min(1) })],
  'must be a group, or { issuer: URL, group: NAME }',
)

const groupName = z.string().min(1).max(256)

/** The same of people who approve, as the control log takes it. */
export const approvingGroup = z.union(
  [groupName, z.strictObject({ issuer: z.string().min(1).max(1024), group: groupName })],
  'must be a group, or { issuer: URL, group: NAME }',
)

/** Marks in the schema a key whose value is the path of a file. */
export const pathFormat = 'path'

export function filePath(description: string): z.ZodType<string> {
  return z.string().min(1).meta({ format: pathFormat, description })
}

/** Marks in the schema a key whose value is PEM text, or else the path of a file with it. */
export const pemFormat = 'pem'

export function pemOrPath(description: string): z.ZodType<string> {
  return z
    .string()
    .min(1)
    .meta({ format: pemFormat, description: `${description} The text itself may stand here too.` })
}

export const secretPattern = /^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$/

/** A reference to a secret: `env:NAME` or `file:PATH`; resolved by `resolveSecret`, never by the schema. */
export const secretRef = z
  .string()
  .regex(secretPattern, {
    error: ({ input }) =>
      isRemote(input)
        ? 'must be env:NAME or file:PATH here: vault:, aws-sm:, k8s: and sealed: serve for the credentials of targets only'
        : 'must be a reference, env:NAME or file:PATH; secrets never stand in the configuration itself',
  })
  .describe('Reference to a secret: env:NAME or file:PATH.')

/** Kinds that need a source, by the key of `secrets` that configures it. */
export const remoteKinds = {
  'vault:': 'vault',
  'aws-sm:': 'aws',
  'k8s:': 'kubernetes',
  'sealed:': 'sealing',
} as const

/** The forms that packages/vault reads; its reference.test.ts holds both to the same examples. */
const remoteForms = [
  String.raw`vault:(?!sys\/|auth\/)[A-Za-z0-9_-][A-Za-z0-9_.-]*(\/[A-Za-z0-9_-][A-Za-z0-9_.@:=+-]*)+#[^\s#]{1,128}`,
  String.raw`aws-sm:[A-Za-z0-9\/_+=.@:-]{1,512}(#[^\s#]{1,128})?`,
  String.raw`k8s:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\/[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?#[A-Za-z0-9._-]{1,253}`,
  'sealed:[a-z0-9][a-z0-9._-]{0,62}',
]

export const targetSecretPattern = new RegExp(
  `^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|${remoteForms.join('|')})$`,
)

const targetSecretWords =
  'must be a reference, env:NAME, file:PATH, vault:PATH#FIELD, aws-sm:NAME[#FIELD], k8s:NAMESPACE/NAME#KEY or sealed:NAME; secrets never stand in the configuration itself'

/** A reference that the vault resolves while the proxy runs. */
export const targetSecretRef = z
  .string()
  .regex(targetSecretPattern, targetSecretWords)
  .describe('Reference to a secret of any kind, see [secrets](secrets.md).')

/** A plain value or such a reference; what only looks like one is a slip of the pen, and no value. */
export const valueOrTargetSecret = z.union([
  targetSecretRef,
  z
    .string()
    .min(1)
    .refine((text) => !/^(env|file|vault|aws-sm|k8s|sealed):/.test(text), targetSecretWords),
])

/** The key of `secrets` that a reference needs; undefined where it is none, or a local one. */
export function sourceOf(reference: unknown): (typeof remoteKinds)[keyof typeof remoteKinds] | undefined {
  if (typeof reference !== 'string' || !targetSecretPattern.test(reference)) return undefined
  return Object.entries(remoteKinds).find(([scheme]) => reference.startsWith(scheme))?.[1]
}

function isRemote(text: unknown): boolean {
  return typeof text === 'string' && /^(vault|aws-sm|k8s|sealed):/.test(text)
}
