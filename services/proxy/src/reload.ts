/**
 * A change of the configuration while the proxy runs: read the file again, refuse what is wrong or cannot change, and
 * hand the rest on. One at a time; asked for meanwhile, once more. What was in force stays so until the new one serves.
 */
import { type Config, ConfigError } from '@portcullis/config'
import type { ProxyConfig } from './policy-file.ts'

export interface ReloadDeps {
  /** Throws ConfigError with every problem. */
  load(): ProxyConfig
  inForce(): ProxyConfig
  /** Puts it in force; rejects where that did not come about, with a message for the operator. */
  apply(next: ProxyConfig): Promise<void>
  onResult(result: 'done' | 'refused' | 'failed'): void
  readonly log: {
    info(fields: object, message: string): void
    error(fields: object, message: string): void
  }
}

/** Returns how to ask for it. What it returns resolves when the last asked for is done; it never rejects. */
export function createReloads(deps: ReloadDeps): () => Promise<void> {
  let again = false
  let running: Promise<void> | undefined
  return () => {
    again = true
    running ??= runAll().finally(() => {
      running = undefined
    })
    return running
  }

  async function runAll(): Promise<void> {
    while (again) {
      again = false
      await reload(deps)
    }
  }
}

async function reload({ load, inForce, apply, onResult, log }: ReloadDeps): Promise<void> {
  const startMs = performance.now()
  const { next, problems } = readNext(load, inForce())
  if (!next || problems.length > 0) {
    for (const problem of problems) log.error({ problem }, 'the new configuration is refused')
    onResult('refused')
    return
  }
  log.info({}, 'a new configuration is coming into force')
  try {
    await apply(next)
    log.info({ tookMs: Math.round(performance.now() - startMs) }, 'the new configuration is in force')
    onResult('done')
  } catch (error) {
    log.error({ err: error }, 'the new configuration is not wholly in force')
    onResult('failed')
  }
}

function readNext(
  load: () => ProxyConfig,
  now: ProxyConfig,
): { next?: ProxyConfig; problems: readonly string[] } {
  try {
    const next = load()
    return { next, problems: fixedChanges(now, next) }
  } catch (error) {
    return { problems: error instanceof ConfigError ? error.problems : [String(error)] }
  }
}

/** What is the same for as long as a proxy runs: where it is reached, and where what it must not lose lies. */
const fixed: readonly [string, (config: Config) => string][] = [
  ['dataDir', (config) => config.dataDir],
  ['bus.url', (config) => config.bus.url],
  ['proxy.name', (config) => config.proxy.name],
  ['proxy.listen.postgres', (config) => config.proxy.listen.postgres],
  ['proxy.health', (config) => config.proxy.health],
]

/** A line for each key that differs and needs a restart. */
export function fixedChanges(now: Config, next: Config): string[] {
  return fixed.flatMap(([key, of]) =>
    of(now) === of(next)
      ? []
      : [`${key}: cannot change from ${of(now)} to ${of(next)} while the proxy runs: restart it`],
  )
}

/** Then the workers go on: rules are swapped while they run. */
export function differsInPolicyAlone(now: ProxyConfig, next: ProxyConfig): boolean {
  const without = ({ policy: _, policyText: __, ...rest }: ProxyConfig) => JSON.stringify(rest)
  return now.policyText !== next.policyText && without(now) === without(next)
}
