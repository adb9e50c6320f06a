/** The demo's configuration: written into the data folder at each start, as an example that runs. */
export type DemoConfigValues = {
  readonly issuer: string
  readonly audience: string
  readonly postgresDoor: string
  readonly api: string
  readonly shop: {
    readonly port: number
    readonly database: string
    readonly agent: string
    readonly report: string
  }
  /** HOST:PORT of each service's health. */
  readonly health: {
    readonly proxy: string
    readonly analyzer: string
    readonly alerts: string
    readonly projector: string
  }
}

/** Variables that carry the secrets of one start; the configuration names them and holds none. */
export const demoSecrets = {
  agent: 'PORTCULLIS_DEMO_SHOP_PASSWORD',
  report: 'PORTCULLIS_DEMO_REPORT_PASSWORD',
  api: 'PORTCULLIS_DEMO_API_TOKEN',
  ownKey: 'PORTCULLIS_DEMO_OWN_KEY',
  sealingKey: 'PORTCULLIS_DEMO_SEALING_KEY',
  maskingKey: 'PORTCULLIS_DEMO_MASKING_KEY',
} as const

/** Names that cannot need quoting stand bare; the values come from this package alone. */
export function demoConfig(values: DemoConfigValues): string {
  const { issuer, audience, postgresDoor, api, shop, health } = values
  return `# Made by npm start at each start of the demo; changes here are lost.
# A copy does not start by itself: its secrets, its issuer and its database are made anew for each start of the demo.
# For a configuration of your own begin with deploy/portcullis.yaml, replace bus, audit, identity.issuers, targets,
# proxy.tls and the secrets (env:NAME or file:PATH) by yours, and run: npm start -- --config FILE --validate
# On one machine: bus: lmdb:./bus and audit: embedded:./audit, as here.
dataDir: .
bus: lmdb:./bus
audit: embedded:./audit
identity:
  issuers:
    - issuer: ${issuer}
      audience: [${audience}]
      algorithms: [ES256]
  own: { key: 'env:${demoSecrets.ownKey}' }
secrets:
  sealing: { keys: [{ id: demo, key: 'env:${demoSecrets.sealingKey}' }] }
masking: { key: 'env:${demoSecrets.maskingKey}' }
targets:
  - name: shop
    protocol: postgres
    address: 127.0.0.1:${shop.port}
    database: ${shop.database}
    tls: { mode: disable }
    credentials: { user: ${shop.agent}, password: 'env:${demoSecrets.agent}' }
    roles:
      report:
        credentials: { user: ${shop.report}, password: 'env:${demoSecrets.report}' }
        groups: [agents]
    groups: [agents]
    labels: { env: demo }
    caps:
      rowsPerStatement: 100000
      rowsPerWindow: 1000000
      windowSec: 3600
proxy:
  name: gate-1
  workers: 2
  listen: { postgres: '${postgresDoor}' }
  health: ${health.proxy}
  recorder: { onUnavailable: deny }
  drainSecMax: 5
analyzer: { health: '${health.analyzer}' }
projector: { health: '${health.projector}' }
alerts: { health: '${health.alerts}' }
api:
  listen: ${api}
  tokens:
    - { name: demo, role: admin, token: 'env:${demoSecrets.api}' }
  roles: { security: responder, auditors: viewer }
`
}
