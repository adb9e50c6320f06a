/**
 * The one configuration of all services. Strict: an unknown key is an error, so that a misspelt limit never silently
 * means "no limit". Durations and sizes say their unit in the key. It holds no secret, only references to secrets.
 */
import { isIP } from 'node:net'
import { availableParallelism } from 'node:os'
import { z } from 'zod'
import { approvals } from './approvals-schema.ts'
import { clientCertificate } from './client-certificate-schema.ts'
import {
  filePath,
  groupRef,
  isHostPort,
  pemOrPath,
  positive,
  secretRef,
  targetSecretRef,
  valueOrTargetSecret,
} from './forms.ts'
import { issuer, pinAddress } from './issuer-schema.ts'
import { maskText, presidio } from './mask-text-schema.ts'
import { ownTokens } from './own-tokens-schema.ts'
import { secrets } from './secrets-schema.ts'
import { ssh } from './ssh-schema.ts'
import { people, role } from './people-schema.ts'
import { audit, bus } from './stores-schema.ts'

/** A bearer token that is shorter could be guessed. */
export const apiTokenCharsMin = 16

const hostPort = z.string().refine(isHostPort, 'must be HOST:PORT')

const hostPorts = z
  .union([z.string(), z.array(z.string()).min(1).max(64)])
  .refine((value) => [value].flat().every(isHostPort), 'must be HOST:PORT or a list of these')

const name = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9._-]{0,62}$/,
    'must be a name of lower-case letters, digits, ".", "_" or "-", at most 63',
  )

const caps = z.strictObject({
  rowsPerStatement: positive.optional().describe('A result is cut after this many rows.'),
  bytesPerStatement: positive.optional().describe('A result (or COPY in) is cut after this many bytes.'),
  rowsPerWindow: positive.optional().describe('Rows over the sliding window, per identity and target.'),
  bytesPerWindow: positive.optional().describe('Bytes over the sliding window, per identity and target.'),
  windowSec: positive.default(3600).describe('Length of the sliding window.'),
  commandsPerSecond: z.number().positive().optional().describe('Commands beyond this rate wait.'),
  sessions: positive.optional().describe('Open sessions, per identity and target.'),
})

const credentials = z.strictObject({
  user: valueOrTargetSecret.describe('User name at the target; a plain name or a reference of any kind.'),
  password: targetSecretRef
    .optional()
    .describe('Password at the target: a reference of any kind, see [secrets](secrets.md).'),
})

const upstreamTls = z.strictObject({
  mode: z
    .enum(['disable', 'prefer', 'require', 'verify-full'])
    .default('prefer')
    .describe("As libpq's sslmode."),
  ca: pemOrPath("PEM file with the certificate authorities; the system's where absent.").optional(),
  cert: filePath('PEM client certificate.').optional(),
  key: filePath('Its PEM key.').optional(),
})

const keepalive = z.strictObject({
  idleSec: positive.default(30).describe('Silence before the first probe.'),
  intervalSec: positive.default(1).describe('Time between probes that are not answered.'),
  count: positive.default(10).describe('So many unanswered probes end the connection.'),
})

/** A timer cannot wait longer. */
const durationMs = positive.max(2_147_483_647)

export const target = z.strictObject({
  name: name.describe(
    'What clients ask for, as the user name. Lower-case letters, digits, ".", "_" or "-", at most 63.',
  ),
  protocol: z.enum(['postgres']).describe('Wire protocol of the target.'),
  address: hostPorts.describe(
    'HOST:PORT of the target, or a list of them, to be tried in this order. See [upstreams](upstreams.md).',
  ),
  targetSessionAttrs: z
    .enum(['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'])
    .default('any')
    .describe("Which of its hosts will do, as libpq's target_session_attrs."),
  loadBalanceHosts: z
    .enum(['disable', 'random'])
    .default('disable')
    .describe('random: each session tries the hosts in an order of its own.'),
  database: z.string().min(1).default('postgres').describe('Database where the client names none.'),
  databases: z.array(z.string().min(1)).optional().describe('Databases a client may name; any where absent.'),
  tls: upstreamTls.prefault({}),
  credentials: credentials.describe('How the gate signs in where no role is asked for.'),
  roles: z
    .record(name, z.strictObject({ credentials, groups: z.array(groupRef).min(1) }))
    .default({})
    .describe('Further users of the target, asked for as TARGET+ROLE, and the groups that may.'),
  groups: z
    .array(groupRef)
    .min(1)
    .describe(
      'Groups whose members may connect; "*" for every proven identity. A name is the group of any issuer, `{ issuer: URL, group: NAME }` that of one.',
    ),
  labels: z.record(z.string(), z.string()).default({}).describe('Labels for policy and dashboards.'),
  caps: caps.prefault({}).describe('Limits that hold in the proxy alone.'),
  connectTimeoutMs: durationMs
    .default(5000)
    .describe('How long each host may take until the gate has signed in; then the next one is tried.'),
  keepalive: keepalive.prefault({}).describe('TCP keepalive towards the target.'),
  statementTimeoutMs: durationMs
    .optional()
    .describe('The gate cuts a statement that the target works on for longer. No client can lift it.'),
  idleSessionTimeoutMs: durationMs
    .optional()
    .describe('The gate ends a session that asks for nothing for this long outside of a transaction.'),
  idleInTransactionTimeoutMs: durationMs
    .optional()
    .describe('The same inside of a transaction, which is rolled back.'),
  catalogue: z
    .strictObject({
      read: z
        .boolean()
        .default(true)
        .describe(
          "Whether the gate reads the target's own definitions (functions, views, rules, triggers), over a connection of its own as the session's role, to tell what a command does. Without it the text alone decides.",
        ),
      refreshSec: positive
        .default(300)
        .describe(
          'How old they may get; what passes through the gate and defines something has them read anew.',
        ),
    })
    .prefault({})
    .describe("The target's own definitions."),
  estimate: z
    .strictObject({
      timeoutMs: durationMs
        .default(500)
        .describe('How long one may take, connecting included; then nobody knows.'),
    })
    .optional()
    .describe(
      "Where it is there, the gate asks the target's planner (EXPLAIN, over a connection of its own as the session's role) how many rows a command would change or return, where a rule reads `command.estimated_rows` or a person is asked.",
    ),
})

const tlsListener = z.strictObject({
  cert: filePath('PEM certificate chain.'),
  key: secretRef.describe('Reference to the PEM key.'),
  clientCa: filePath(
    'PEM file with the authorities of client certificates. Clients may then show one; a token that is bound to one (RFC 8705) is taken with it only.',
  ).optional(),
  clientCrl: filePath(
    'PEM file with the revocation lists of these authorities, one of each: without a list of it that is not over, none of its certificates is taken. Read when workers start.',
  ).optional(),
  clientCertificates: z
    .array(clientCertificate)
    .default([])
    .describe(
      'Whom client certificates prove by themselves, without a token: the first rule that names one decides. See [identity](identity.md#client-certificates).',
    ),
})

const proxy = z.strictObject({
  name: name.default('proxy').describe('Name of this replica, on every event.'),
  workers: positive
    .max(64)
    .optional()
    .describe(
      'Processes that serve clients. Where absent: one for each core the process may use, at least 2, so that one can stand in for another, at most 16, since each takes some 120 MB.',
    )
    .transform((workers) => workers ?? Math.min(Math.max(availableParallelism(), 2), 16)),
  listen: z
    .strictObject({
      postgres: hostPort.default('127.0.0.1:15432').describe('HOST:PORT of the Postgres door.'),
    })
    .prefault({}),
  publicAddress: hostPort
    .optional()
    .describe(
      'HOST:PORT that clients dial, as the API and the command line tell them: the load balancer, where there is one. Where absent: `listen.postgres`, and for 0.0.0.0 the host of `identity.own.issuer`.',
    ),
  tls: tlsListener.optional().describe('Without it tokens are taken from loopback peers only.'),
  proxyProtocolFrom: z
    .array(z.string().refine(isNetwork, 'must be an address or a network such as 10.0.0.0/8'))
    .default([])
    .describe('Addresses or CIDR ranges of load balancers that send PROXY protocol v2; each must send it.'),
  health: hostPort.default('127.0.0.1:9101').describe('HOST:PORT of /healthz, /readyz and /metrics.'),
  mode: z
    .enum(['enforce', 'observe'])
    .default('enforce')
    .describe('observe records what would have been enforced and enforces nothing but the login.'),
  recorder: z.strictObject({
    durability: z
      .enum(['process', 'disk'])
      .default('process')
      .describe('process: an intent survives kill -9 of the proxy. disk: it survives loss of power.'),
    bytesMax: positive
      .default(1_073_741_824)
      .describe('Recording that the bus has not taken yet may grow to this size, per replica.'),
    onUnavailable: z
      .enum(['deny', 'allow-and-count'])
      .describe(
        'What to do with a command that cannot be recorded. Required: there is no safe default for everyone.',
      ),
    maskText: maskText
      .optional()
      .describe(
        'Of a command, what is masked in its recorded text, see [what is found by content](detectors.md#in-the-trail). Where absent the text stands there as it was sent, but for credentials.',
      ),
  }),
  presidio: presidio
    .optional()
    .describe(
      'Microsoft Presidio, for rules that want of it what detectors cannot find, see [what is found by content](detectors.md#presidio). Where absent such a rule refuses.',
    ),
  control: z
    .strictObject({
      staleSecMax: positive
        .default(3600)
        .describe(
          'How long sessions are served from the folded control state while the bus is away; then refused.',
        ),
    })
    .prefault({}),
  statementBytesMax: positive
    .max(1_073_741_823)
    .default(16_777_216)
    .describe(
      'Longer statement texts are refused. One is held whole, at up to six times its length; bind values and copied data are not.',
    ),
  sessionSecMax: positive.default(43_200).describe('A session may outlive its token up to this age.'),
  loginSecMax: positive.default(10).describe('A client that has not signed in by then is disconnected.'),
  drainSecMax: positive
    .max(604_800)
    .default(30)
    .describe(
      'How long a stopping proxy lets commands and transactions finish, and a worker that was replaced lets its sessions live.',
    ),
  shareOfCaps: z
    .number()
    .positive()
    .max(1)
    .default(1)
    .describe("This replica's share of every cap and throttle rate; 1/N for N replicas."),
  throttleDelayMsMax: positive
    .default(30_000)
    .describe('A throttled command waits at most this long, then it is refused with retry-after.'),
})

const analyzer = z.strictObject({
  health: hostPort.default('127.0.0.1:9102'),
  warmupCommands: positive
    .default(200)
    .describe('Commands an identity must have run before its own baseline judges it.'),
  warmupHours: z
    .number()
    .min(0)
    .default(24)
    .describe('And how long ago its first one must have been, in event time.'),
  throttleSec: positive.default(600).describe('How long a first throttle holds.'),
  blockSec: positive.default(3600).describe('How long a first block holds.'),
  cancelRunning: z
    .boolean()
    .default(false)
    .describe('Whether a block also cancels the command that is running.'),
  subject: z
    .enum(['identity', 'instance'])
    .default('identity')
    .describe('Whether verdicts name the identity or only the running copy.'),
})

const slack = z.strictObject({
  webhook: secretRef.optional().describe('Incoming webhook URL.'),
  botToken: secretRef.optional().describe('Bot token; messages are then updated in place.'),
  channel: z.string().optional().describe('Channel for the bot token.'),
  apiUrl: z.url().default('https://slack.com/api').describe('Base of the Web API.'),
})

const alerts = z.strictObject({
  health: hostPort.default('127.0.0.1:9103'),
  consoleUrl: z.url().optional().describe('Base of the links in messages.'),
  slack: slack.optional(),
  pagerduty: z
    .strictObject({
      routingKey: secretRef,
      url: z.url().default('https://events.pagerduty.com/v2/enqueue'),
    })
    .optional(),
  webhook: z.strictObject({ url: z.url(), secret: secretRef.optional() }).optional(),
  perHourMax: positive.default(60).describe('New incidents an hour and sink; beyond it they are summarised.'),
})

const api = z.strictObject({
  listen: hostPort.default('127.0.0.1:8080').describe('HOST:PORT of the REST API.'),
  forwardedFrom: z
    .array(z.string().refine(isNetwork, 'must be an address or a network such as 10.0.0.0/8'))
    .default([])
    .describe(
      'Addresses or CIDR ranges of load balancers whose `X-Forwarded-For` is believed. Without it whoever is behind one has its address: one budget of failures for all, no network of an API key, no `sourceAddress` of an SSH certificate.',
    ),
  tokens: z
    .array(
      z.strictObject({
        name,
        role,
        token: secretRef.describe(`Reference to the token, at least ${apiTokenCharsMin} characters.`),
      }),
    )
    .default([])
    .describe('Static bearer tokens.'),
  roles: z
    .record(z.string(), role)
    .default({})
    .describe(
      'Role by group, of an OIDC token or a person. viewer sees; responder also stops (block, lift, kill); approver also answers held commands; admin also changes targets, policy and roles. The last two for people alone: those of an issuer of `people`.',
    ),
  roleOf: z
    .array(
      z.strictObject({
        issuer: z.string().min(1).describe('URL of the issuer; `portcullis` for API keys.'),
        group: z.string().min(1).describe('Group of this issuer; "*" for everybody whom it proves.'),
        role,
      }),
    )
    .default([])
    .describe(
      'Roles of the groups of one issuer, beside those of `roles`. The only way by which workloads become approver or admin.',
    ),
})

const projector = z.strictObject({
  health: hostPort.default('127.0.0.1:9104'),
  batchRows: positive.default(20_000),
  batchMs: positive.default(200),
})

function isNetwork(text: string): boolean {
  const [network = '', bits, ...rest] = text.split('/')
  const bitsMax = { 0: -1, 4: 32, 6: 128 }[isIP(network)] ?? -1
  if (bits === undefined) return bitsMax > 0
  return rest.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= bitsMax
}

export const configSchema = z.strictObject({
  dataDir: z
    .string()
    .default('.portcullis')
    .describe('Folder for everything a service keeps locally; relative to the configuration file.'),
  bus,
  audit,
  log: z
    .strictObject({ level: z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info') })
    .prefault({}),
  identity: z.strictObject({
    issuers: z.array(issuer),
    own: ownTokens.prefault({}),
    replay: z
      .enum(['off', 'finding', 'refuse'])
      .default('finding')
      .describe(
        'One token used from two addresses within its life: nothing, a finding, or a finding and the second address is refused. See [identity](identity.md#one-token-two-addresses).',
      ),
    pinAddress: pinAddress
      .default('off')
      .describe(
        'Whether a token is good only where it was used first: from that address (of IPv6, its /64) or its network (/24, /48). For tokens whose issuer does not say otherwise, our own among them.',
      ),
  }),
  secrets: secrets.prefault({}),
  geo: z
    .strictObject({
      country: filePath(
        'MMDB file with countries. Where absent: the bundled geo-whois-asn-country (CC0), as old as the release; production should bring its own and keep it up to date.',
      ).optional(),
      asn: filePath(
        'MMDB file with AS numbers. Where absent: the bundled list by [RouteViews](https://www.routeviews.org), the [NRO](https://www.nro.net) and [DB-IP](https://db-ip.com) (CC BY 4.0, see NOTICE), as old as the release and published with known errors; production should bring its own.',
      ).optional(),
      city: filePath(
        'MMDB city database, for regions; its country goes before that of `country`.',
      ).optional(),
    })
    .prefault({}),
  ssh: ssh.optional().describe('SSH certificates; see [ssh](ssh.md). Where absent none are given out.'),
  policy: z
    .strictObject({
      file: filePath('YAML file with the rules, see [policy](policy.md). It is read again at SIGHUP.'),
    })
    .optional()
    .describe('Rules for what may run. Where absent, whoever may connect may run anything.'),
  masking: z
    .strictObject({
      key: secretRef
        .optional()
        .describe(
          'Reference to 32 random bytes, in base64 or hex, for masks by `hash` and `fake`: without it nobody can tell a value by its hash. All proxies must have the same one; another key gives other hashes. See [masking](masking.md).',
        ),
    })
    .prefault({}),
  approvals: approvals.prefault({}).describe('What people approve, see [approvals](approvals.md).'),
  targets: z.array(target).describe('Targets; those that the API adds are not among them. May be empty.'),
  proxy,
  analyzer: analyzer.prefault({}),
  alerts: alerts.prefault({}),
  api: api.prefault({}),
  people: people
    .optional()
    .describe(
      'How people sign in; see [people](people.md). Where absent nobody can, and the API takes tokens only.',
    ),
  projector: projector.prefault({}),
})

export type Config = z.output<typeof configSchema>
export type SshConfig = NonNullable<Config['ssh']>
export type TargetConfig = Config['targets'][number]
export type IssuerSetting = Config['identity']['issuers'][number]
