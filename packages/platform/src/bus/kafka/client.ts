/**
 * kafkajs, configured: where the brokers are, with which secrets, and its log lines in our logger. Nothing is connected
 * here. Secrets come as values and never in the URL, which may be logged.
 */
import {
  type ISocketFactory,
  Kafka,
  type KafkaConfig,
  type LogEntry,
  logLevel,
  type SASLOptions,
} from 'kafkajs'
import { BusError } from '../errors.ts'
import type { BusLogger, BusOptions, KafkaOptions } from '../options.ts'

/** `socketFactory` takes the place of kafkajs's own, for tests of broken connections. */
export function createClient(url: string, options: BusOptions, socketFactory?: ISocketFactory): Kafka {
  const { brokers, ssl } = parseUrl(url)
  const { sasl } = options.kafka ?? {}
  const config: KafkaConfig = {
    clientId: options.clientId ?? 'portcullis',
    brokers,
    connectionTimeout: 3_000,
    requestTimeout: 10_000,
    // What outlasts this is retried by us, with a new producer or consumer: kafkajs keeps state that goes stale.
    retry: { retries: 4, initialRetryTime: 100, maxRetryTime: 1_000 },
    logLevel: logLevel.INFO,
    logCreator: () => (entry) => forward(entry, options.logger),
  }
  if (socketFactory) config.socketFactory = socketFactory
  const tls = options.kafka?.ssl ?? ssl
  if (tls !== undefined) config.ssl = tls === true || tls === false ? tls : withoutUndefined(tls)
  if (sasl) config.sasl = saslOf(sasl)
  return new Kafka(config)
}

/** `kafka://HOST:PORT[,HOST:PORT][?ssl=true]`. Throws BusError('invalid_url'), which does not repeat a secret. */
export function parseUrl(url: string): { brokers: string[]; ssl: boolean | undefined } {
  const [place = '', query = ''] = url.replace(/^kafka:(\/\/)?/, '').split('?')
  if (place.includes('@'))
    throw new BusError(
      'invalid_url',
      'bus: a kafka:// URL must not hold a user or password; configure sasl instead',
    )
  const brokers = place.replace(/\/$/, '').split(',')
  for (const broker of brokers) {
    if (!/^(\[[0-9a-fA-F:]+\]|[^\s:/[\]]+):\d{1,5}$/.test(broker))
      throw new BusError('invalid_url', `bus: ${JSON.stringify(broker)} in the kafka:// URL is not HOST:PORT`)
  }
  const settings = new URLSearchParams(query)
  for (const name of settings.keys())
    if (name !== 'ssl')
      throw new BusError('invalid_url', `bus: unknown setting ${JSON.stringify(name)} in the kafka:// URL`)
  const ssl = settings.get('ssl')
  if (ssl !== null && ssl !== 'true' && ssl !== 'false')
    throw new BusError('invalid_url', 'bus: ssl in the kafka:// URL is true or false')
  return { brokers, ssl: ssl === null ? undefined : ssl === 'true' }
}

/** kafkajs calls errors what is everyday life to it (a rebalance, a broker that restarts): ours report what matters. */
function forward({ namespace, level, log }: LogEntry, logger: BusLogger): void {
  const { message, timestamp: _, ...fields } = log
  const isMeant = message.startsWith('Limiting retries for the idempotent producer')
  const write = level <= logLevel.WARN && !isMeant ? 'warn' : 'debug'
  logger[write]({ ...fields, from: `kafkajs ${namespace}`.trim() }, message)
}

function saslOf({ mechanism, username, password }: Sasl): SASLOptions {
  switch (mechanism) {
    case 'plain':
      return { mechanism, username, password }
    case 'scram-sha-256':
      return { mechanism, username, password }
    case 'scram-sha-512':
      return { mechanism, username, password }
  }
}

type Sasl = NonNullable<KafkaOptions['sasl']>

function withoutUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T
}
