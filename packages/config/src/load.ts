/** Reads the configuration once. Every mistake is reported together, each with its place in the file. */
import { readFileSync } from 'node:fs'
import { dirname, isAbsolute, resolve } from 'node:path'
import type { z } from 'zod'
import { crossChecks, type Problem } from './cross-checks.ts'
import { ConfigError } from './errors.ts'
import { type Config, configSchema } from './schema.ts'
import { readSource } from './source.ts'

/** @throws ConfigError with all problems at once. */
export function loadConfig(file: string): Config {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ConfigError('unreadable', [`${file}: cannot be read: ${(cause as Error).message}`], { cause })
  }
  return parseConfig(text, file)
}

export function parseConfig(text: string, file: string): Config {
  const source = readSource(text, file)
  const parsed = configSchema.safeParse(source.content)
  const problems = [...problemsOf(parsed.error?.issues ?? []), ...crossChecks(source.content)]
  if (problems.length > 0 || !parsed.success) throw new ConfigError('invalid', source.lines(problems))
  return withAbsolutePaths(parsed.data, dirname(resolve(file)))
}

/** A union reports its branches inside: show the first's, which is the form to prefer. */
function problemsOf(issues: readonly z.core.$ZodIssue[], prefix: readonly PropertyKey[] = []): Problem[] {
  return issues.flatMap((issue) => {
    const path = [...prefix, ...issue.path]
    const branch = issue.code === 'invalid_union' ? issue.errors[0] : undefined
    if (branch) return problemsOf(branch, path)
    if (issue.code !== 'unrecognized_keys') return [{ path, message: issue.message }]
    return issue.keys.map((key) => ({ path: [...path, key], message: 'unknown key' }))
  })
}

/** Paths in the file are relative to the file, wherever a service was started from. */
function withAbsolutePaths(config: Config, base: string): Config {
  const absolute = <T extends string | undefined>(path: T): T =>
    path === undefined || isAbsolute(path) ? path : (resolve(base, path) as T)
  const urlPath = (url: string, scheme: string) =>
    url.startsWith(scheme) ? scheme + absolute(url.slice(scheme.length)) : url
  const ref = <T extends string | undefined>(value: T): T =>
    value?.startsWith('file:') ? (`file:${absolute(value.slice(5))}` as T) : value
  const login = <T extends Config['targets'][number]['credentials']>(value: T): T => ({
    ...value,
    user: ref(value.user),
    ...(value.password && { password: ref(value.password) }),
  })
  const optional = <K extends string>(key: K, path: string | undefined) =>
    (path === undefined ? {} : { [key]: absolute(path) }) as { [P in K]?: string }
  return {
    ...config,
    dataDir: absolute(config.dataDir),
    bus: {
      ...config.bus,
      url: urlPath(config.bus.url, 'lmdb:'),
      ...optional('ca', config.bus.ca),
      ...(config.bus.password && { password: ref(config.bus.password) }),
    },
    audit: {
      ...config.audit,
      url: urlPath(config.audit.url, 'embedded:'),
      ...(config.audit.password && { password: ref(config.audit.password) }),
    },
    geo: {
      ...optional('country', config.geo.country),
      ...optional('asn', config.geo.asn),
      ...optional('city', config.geo.city),
    },
    identity: {
      issuers: config.identity.issuers.map((issuer) => ({ ...issuer, ...optional('ca', issuer.ca) })),
    },
    targets: config.targets.map((target) => ({
      ...target,
      credentials: login(target.credentials),
      roles: Object.fromEntries(
        Object.entries(target.roles).map(([name, role]) => [
          name,
          { ...role, credentials: login(role.credentials) },
        ]),
      ),
      tls: {
        mode: target.tls.mode,
        ...optional('ca', target.tls.ca),
        ...optional('cert', target.tls.cert),
        ...optional('key', target.tls.key),
      },
    })),
    proxy: {
      ...config.proxy,
      ...(config.proxy.tls && {
        tls: { cert: absolute(config.proxy.tls.cert), key: ref(config.proxy.tls.key) },
      }),
    },
    api: { ...config.api, tokens: config.api.tokens.map((token) => ({ ...token, token: ref(token.token) })) },
    alerts: {
      ...config.alerts,
      ...(config.alerts.slack && {
        slack: {
          ...config.alerts.slack,
          ...(config.alerts.slack.webhook && { webhook: ref(config.alerts.slack.webhook) }),
          ...(config.alerts.slack.botToken && { botToken: ref(config.alerts.slack.botToken) }),
        },
      }),
      ...(config.alerts.pagerduty && {
        pagerduty: { ...config.alerts.pagerduty, routingKey: ref(config.alerts.pagerduty.routingKey) },
      }),
      ...(config.alerts.webhook && {
        webhook: {
          ...config.alerts.webhook,
          ...(config.alerts.webhook.secret && { secret: ref(config.alerts.webhook.secret) }),
        },
      }),
    },
  }
}
