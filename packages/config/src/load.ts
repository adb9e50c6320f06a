/** Reads the configuration once. Every mistake is reported together, each with its place in the file. */
import { readFileSync } from 'node:fs'
import { dirname, isAbsolute, resolve } from 'node:path'
import { isMap, isNode, LineCounter, parseDocument, type Document } from 'yaml'
import type { z } from 'zod'
import { ConfigError } from './errors.ts'
import { isLoopbackHttp } from './issuer-schema.ts'
import { type Config, configSchema } from './schema.ts'

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
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset)
    return `${file}:${line}:${col}`
  }
  if (document.errors.length > 0) {
    throw new ConfigError(
      'invalid',
      document.errors.map((error) => `${at(error.pos[0])}: ${error.message}`),
    )
  }
  const parsed = configSchema.safeParse(document.toJS() ?? {})
  if (!parsed.success) {
    const problems = flatten(parsed.error.issues).flatMap((issue) =>
      placesOf(document, issue).map(
        ({ offset, path }) => `${at(offset)}: ${path || 'configuration'}: ${wording(issue)}`,
      ),
    )
    throw new ConfigError('invalid', [...new Set(problems)])
  }
  const problems = crossChecks(parsed.data).map(
    ({ path, message }) => `${at(offsetOf(document, path))}: ${path.join('.')}: ${message}`,
  )
  if (problems.length > 0) throw new ConfigError('invalid', problems)
  return withAbsolutePaths(parsed.data, dirname(resolve(file)))
}

type Issue = z.core.$ZodIssue

/** A union reports its branches inside: show the first's, which is the form to prefer. */
function flatten(issues: readonly Issue[], prefix: readonly PropertyKey[] = []): Issue[] {
  return issues.flatMap((issue) => {
    const path = [...prefix, ...issue.path]
    const branch = issue.code === 'invalid_union' ? issue.errors[0] : undefined
    return branch ? flatten(branch, path) : [{ ...issue, path }]
  })
}

function placesOf(document: Document, issue: Issue): { offset: number; path: string }[] {
  if (issue.code !== 'unrecognized_keys')
    return [{ offset: offsetOf(document, issue.path), path: issue.path.map(String).join('.') }]
  return issue.keys.map((key) => {
    const path = [...issue.path, key]
    return { offset: offsetOf(document, path), path: path.map(String).join('.') }
  })
}

function wording(issue: Issue): string {
  return issue.code === 'unrecognized_keys' ? 'unknown key' : issue.message
}

/** Where the node at `path` stands, or its nearest parent that exists. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  for (let depth = path.length; depth > 0; depth--) {
    const parent = depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true)
    if (isMap(parent)) {
      const pair = parent.items.find(
        (item) => isNode(item.key) && String(item.key) === String(path[depth - 1]),
      )
      if (pair && isNode(pair.key) && pair.key.range) return pair.key.range[0]
    }
    const node = document.getIn(path.slice(0, depth), true)
    if (isNode(node) && node.range) return node.range[0]
  }
  return 0
}

/** What one key alone cannot tell. */
function crossChecks(config: Config): { path: (string | number)[]; message: string }[] {
  const problems: { path: (string | number)[]; message: string }[] = []
  const firstAt = new Map<string, number>()
  config.targets.forEach((target, index) => {
    const earlier = firstAt.get(target.name)
    if (earlier === undefined) firstAt.set(target.name, index)
    else
      problems.push({
        path: ['targets', index, 'name'],
        message: `"${target.name}" is already the name of targets.${earlier}`,
      })
    if ((target.tls.cert === undefined) !== (target.tls.key === undefined)) {
      problems.push({ path: ['targets', index, 'tls'], message: 'cert and key go together' })
    }
  })
  const issuers = new Set<string>()
  config.identity.issuers.forEach(({ issuer, jwksUri }, index) => {
    const isSafe = (uri: string) =>
      URL.parse(uri)?.protocol === 'https:' || (isLoopbackHttp(uri) && isLoopbackHttp(issuer))
    if (jwksUri !== undefined && !isSafe(jwksUri))
      problems.push({
        path: ['identity', 'issuers', index, 'jwksUri'],
        message: 'must be https (http only where issuer and keys are both on loopback)',
      })
    if (issuers.has(issuer))
      problems.push({
        path: ['identity', 'issuers', index, 'issuer'],
        message: `"${issuer}" is listed twice`,
      })
    issuers.add(issuer)
  })
  const { slack } = config.alerts
  if (slack && !slack.webhook && !slack.botToken)
    problems.push({ path: ['alerts', 'slack'], message: 'needs webhook or botToken' })
  if (slack?.botToken && !slack.channel)
    problems.push({ path: ['alerts', 'slack'], message: 'botToken needs a channel' })
  return problems
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
