/** Where events go and where the trail lies: each a URL, or an object where the URL alone does not say enough. */
import { z } from 'zod'
import { filePath, positive, secretRef } from './forms.ts'

const orUrl = {
  error: ({ input }: { input?: unknown }) =>
    input === undefined ? 'is required: a URL or an object' : 'must be a URL or an object',
}

const busObject = z.strictObject(
  {
    url: z
      .string()
      .regex(/^(lmdb:.+|kafka:\/\/.+)$/, 'must be lmdb:DIRECTORY or kafka://HOST:PORT,HOST:PORT')
      .describe('`lmdb:DIRECTORY` (embedded, one machine) or `kafka://HOST:PORT,HOST:PORT`.'),
    username: z.string().optional().describe('SASL user name.'),
    password: secretRef.optional().describe('SASL password.'),
    mechanism: z.enum(['plain', 'scram-sha-256', 'scram-sha-512']).default('scram-sha-512'),
    tls: z.boolean().default(false),
    ca: filePath("PEM file with the certificate authorities; the system's where absent.").optional(),
    partitions: positive
      .max(1024)
      .default(8)
      .describe('Partitions of the commands topic when it is created.'),
    replicas: positive.default(1).describe('Replication factor of topics when they are created.'),
    retentionDays: positive
      .default(7)
      .describe('How long the bus keeps events; ClickHouse has the full trail.'),
  },
  orUrl,
)

const auditObject = z.strictObject(
  {
    url: z
      .string()
      .regex(/^(embedded:.+|https?:\/\/.+)$/, 'must be embedded:DIRECTORY or the URL of a ClickHouse server')
      .describe(
        '`embedded:DIRECTORY` (one machine) or `https://HOST:PORT` (`http://` too) of a ClickHouse server. For embedded: the engine runs as a process of its own, whose address and secret the services get as PORTCULLIS_ENGINE_URL and PORTCULLIS_ENGINE_PASSWORD from the process that starts them.',
      ),
    username: z.string().default('default'),
    password: secretRef.optional(),
    database: z.string().default('portcullis'),
    retentionDays: z
      .partialRecord(
        z.enum([
          'sessions',
          'commands',
          'recordings',
          'findings',
          'verdicts',
          'approvals',
          'control_events',
          'sign_ins',
        ]),
        positive,
      )
      .default({})
      .describe('Days each table keeps its rows; for ever where absent.'),
  },
  orUrl,
)

/** `bus: kafka://...` is short for `bus: { url: kafka://... }`. */
const urlAlone = (value: unknown) => (typeof value === 'string' ? { url: value } : value)

export const bus = z.preprocess(urlAlone, busObject).describe('The event log: its URL, or an object.')
export const audit = z.preprocess(urlAlone, auditObject).describe('The audit trail: its URL, or an object.')
