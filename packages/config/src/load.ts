/** Reads the configuration once. Every mistake is reported together, each with its place in the file. */
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { crossChecks } from './cross-checks.ts'
import { ConfigError } from './errors.ts'
import { lookHere } from './here.ts'
import { placesIn } from './places.ts'
import { ofMissing, problemsOf } from './problems.ts'
import { roleWarnings } from './role-warnings.ts'
import { type Config, configSchema } from './schema.ts'
import { readSource, type Source } from './source.ts'

/** @throws ConfigError with all problems at once. */
export function loadConfig(file: string): Config {
  return parsed(readSource(read(file), file), file)
}

/**
 * And what it needs of this machine: `missing` has a line for each secret and file that is not here, and for each
 * address that two services share; `warnings` one for each role that may be meant otherwise.
 * @throws ConfigError as `loadConfig` does, and where a secret that is here is no good.
 */
export function loadConfigHere(file: string): {
  config: Config
  missing: readonly string[]
  warnings: readonly string[]
} {
  const source = readSource(read(file), file)
  const config = parsed(source, file)
  const { wrong, missing } = lookHere(config)
  if (wrong.length > 0) throw new ConfigError('invalid', source.lines([...wrong, ...missing]))
  return { config, missing: source.lines(missing), warnings: source.lines(roleWarnings(config)) }
}

export function parseConfig(text: string, file: string): Config {
  return parsed(readSource(text, file), file)
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ConfigError('unreadable', [`${file}: cannot be read: ${(cause as Error).message}`], { cause })
  }
}

function parsed(source: Source, file: string): Config {
  const result = configSchema.safeParse(source.content, { error: ofMissing })
  const problems = [...problemsOf(result.error?.issues ?? []), ...crossChecks(source.content)]
  if (problems.length > 0 || !result.success) throw new ConfigError('invalid', source.lines(problems))
  return withAbsolutePaths(result.data, dirname(resolve(file)))
}

/** Paths in the file are relative to the file, wherever a service was started from. */
function withAbsolutePaths(parsed: Config, base: string): Config {
  const config = structuredClone(parsed)
  const underUrl = (url: string, scheme: string) =>
    url.startsWith(scheme) ? scheme + resolve(base, url.slice(scheme.length)) : url
  for (const { kind, value, replace } of placesIn(config))
    replace(kind === 'file' ? resolve(base, value) : underUrl(value, 'file:'))
  return {
    ...config,
    dataDir: resolve(base, config.dataDir),
    bus: { ...config.bus, url: underUrl(config.bus.url, 'lmdb:') },
    audit: { ...config.audit, url: underUrl(config.audit.url, 'embedded:') },
  }
}
