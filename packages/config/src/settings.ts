/**
 * Targets and issuers that were configured by the API: held to the same schema as those of the file, with a place for each
 * mistake. What an administrator of the API must not decide is refused: which files and which variables of a machine are
 * read. Those hold what the services sign in with themselves, and whoever names a target names where they are sent to.
 */
import type { z } from 'zod'
import type { ApiSettings } from './api-settings.ts'
import { crossChecks, type Problem } from './cross-checks.ts'
import { issuer as issuerSchema } from './issuer-schema.ts'
import { ofMissing, problemsOf } from './problems.ts'
import { ownTokenNames } from './own-tokens.ts'
import { placesOf } from './places.ts'
import { refusedAims } from './secret-aims.ts'
import { type Config, type IssuerSetting, target as targetSchema, type TargetConfig } from './schema.ts'

export type Checked<T> =
  | { readonly value: T; readonly problems?: undefined }
  | { readonly value?: undefined; readonly problems: readonly Problem[] }

/** `given` is what stands under `targets` in the file, without the name or with this one. */
export function checkTarget(
  name: string,
  given: unknown,
  { secrets }: Pick<Config, 'secrets'>,
): Checked<TargetConfig> {
  const whole = named(given, 'name', name)
  const others = [
    ...below(crossChecks({ targets: [whole], secrets }), ['targets', 0]),
    ...misnamed(given, 'name', name),
  ]
  return checked(targetSchema, whole, others, (target) => refusedAims(target, secrets.api.allow))
}

/** `given` is what stands under `identity.issuers` in the file, without the URL or with this one. */
export function checkIssuer(
  url: string,
  given: unknown,
  config: Pick<Config, 'identity' | 'api'>,
): Checked<IssuerSetting> {
  const whole = named(given, 'issuer', url)
  const isOwn = url === ownTokenNames(config).issuer
  return checked(issuerSchema, whole, [
    ...below(crossChecks({ identity: { issuers: [whole] } }), ['identity', 'issuers', 0]),
    ...misnamed(given, 'issuer', url),
    ...(isOwn ? [{ path: ['issuer'], message: "is the issuer of Portcullis' own tokens" }] : []),
  ])
}

export interface StoredSettings {
  readonly targets: readonly Stored[]
  readonly issuers: readonly Stored[]
}

interface Stored {
  readonly id: string
  /** A JSON object. */
  readonly json: string
}

/**
 * Reads what the control log holds, each time whole. What does not pass (a newer version of the API may know more than this
 * one) is told, and what stood under that name before goes on to stand, as long as this process lives.
 */
export function createSettingsReader(
  config: Pick<Config, 'secrets' | 'identity' | 'api'>,
  onRefused: (what: string, problems: readonly string[]) => void,
): (stored: StoredSettings) => ApiSettings {
  const targets = createReader('target', (id, given) => checkTarget(id, given, config))
  const issuers = createReader('issuer', (id, given) => checkIssuer(id, given, config))
  return (stored) => ({ targets: targets(stored.targets), issuers: issuers(stored.issuers) })

  function createReader<T>(kind: string, check: (id: string, given: unknown) => Checked<T>) {
    let known = new Map<string, { readonly json: string; readonly value: T | undefined }>()
    return (stored: readonly Stored[]): T[] => {
      known = new Map(
        stored.map(({ id, json }) => {
          const before = known.get(id)
          if (before?.json === json) return [id, before]
          const { value, problems } = check(id, JSON.parse(json))
          if (problems) onRefused(`${kind} ${id}`, lines(problems))
          return [id, { json, value: value ?? before?.value }]
        }),
      )
      return Array.from(known.values()).flatMap(({ value }) => (value === undefined ? [] : [value]))
    }
  }
}

function checked<T extends object>(
  schema: z.ZodType<T>,
  given: unknown,
  others: readonly Problem[],
  more: (value: T) => readonly Problem[] = () => [],
): Checked<T> {
  const { data, error } = schema.safeParse(given, { error: ofMissing })
  const local = data === undefined ? [] : placesOf(schema, data).map(refusedPlace)
  const problems = distinct([
    ...problemsOf(error?.issues ?? []),
    ...others,
    ...local,
    ...(data === undefined || others.length > 0 ? [] : more(data)),
  ])
  return data !== undefined && problems.length === 0 ? { value: data } : { problems }
}

function refusedPlace({ path, kind }: { path: readonly string[]; kind: 'file' | 'secret' }): Problem {
  const message =
    kind === 'file'
      ? 'must not be the path of a file: that is for the configuration file to say. Certificates may stand here as PEM text'
      : 'must not be env: or file:, which are for the configuration file to name: use sealed:, vault:, aws-sm: or k8s:'
  return { path, message }
}

function named(given: unknown, key: string, name: string): unknown {
  return isObject(given) ? { ...given, [key]: name } : given
}

function misnamed(given: unknown, key: string, name: string): Problem[] {
  const said = isObject(given) ? given[key] : undefined
  return said === undefined || said === name
    ? []
    : [{ path: [key], message: `must be absent, or as in the address: ${name}` }]
}

function below(problems: readonly Problem[], base: readonly PropertyKey[]): Problem[] {
  return problems
    .filter(({ path }) => base.every((part, at) => path[at] === part))
    .map(({ path, message }) => ({ path: path.slice(base.length), message }))
}

function distinct(problems: readonly Problem[]): Problem[] {
  return Array.from(new Map(problems.map((one) => [lines([one])[0], one])).values())
}

function lines(problems: readonly Problem[]): string[] {
  return problems.map(({ path, message }) => `${path.map(String).join('.') || 'it'}: ${message}`)
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
