/** The vault of a worker: what the configuration says of `secrets`, with its certificates read. */
import { readFileSync } from 'node:fs'
import type { Config } from '@portcullis/config'
import { type Clock, type SealedSecret, secretAggregate, type Started } from '@portcullis/kernel'
import type { Log } from '@portcullis/platform/service'
import { createSources, createVault, type SealedSource, type Vault } from '@portcullis/vault'

/** @throws where a certificate cannot be read: that is the start's failure, and not the first session's. */
export function createProxyVault(
  { secrets }: Pick<Config, 'secrets'>,
  clock: Clock,
  log: Pick<Log, 'info' | 'warn'>,
  sealed: SealedSource,
): Started<Vault> {
  const { cacheSec, staleSec, timeoutMs, vault, aws, kubernetes, sealing } = secrets
  const withCa = <T extends { ca?: string | undefined }>(part: T | undefined) =>
    part && { ...part, ca: part.ca === undefined ? undefined : readFileSync(part.ca, 'utf8') }
  const settings = { timeoutMs, kubernetes, sealing, vault: withCa(vault), aws: withCa(aws) }
  const sources = createSources(settings, clock, sealed)
  return createVault({ sources, clock, log, cacheMs: cacheSec * 1000, staleMs: staleSec * 1000 })
}

/** What the control log holds under each name. */
export function sealedOf(secrets: readonly SealedSecret[]): SealedSource {
  const byName = new Map(
    secrets.map(({ name, version, sealed }) => [
      name,
      { aggregateId: secretAggregate(name), name, version, sealed },
    ]),
  )
  return byName
}
