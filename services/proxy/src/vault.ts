/** The vault of a worker: what the configuration says of `secrets`, with its certificates read. */
import { readFileSync } from 'node:fs'
import type { Config } from '@portcullis/config'
import type { Clock, Started } from '@portcullis/kernel'
import type { Log } from '@portcullis/platform/service'
import { createSources, createVault, type Vault } from '@portcullis/vault'

/** @throws where a certificate cannot be read: that is the start's failure, and not the first session's. */
export function createProxyVault(
  { secrets }: Pick<Config, 'secrets'>,
  clock: Clock,
  log: Pick<Log, 'info' | 'warn'>,
): Started<Vault> {
  const { cacheSec, staleSec, timeoutMs, vault, aws, kubernetes } = secrets
  const withCa = <T extends { ca?: string | undefined }>(part: T | undefined) =>
    part && { ...part, ca: part.ca === undefined ? undefined : readFileSync(part.ca, 'utf8') }
  const sources = createSources({ timeoutMs, kubernetes, vault: withCa(vault), aws: withCa(aws) }, clock)
  return createVault({ sources, clock, log, cacheMs: cacheSec * 1000, staleMs: staleSec * 1000 })
}
