/** What is configured by the API beside the file. Apart from the schema: a worker needs no more. */
import type { IssuerSetting, TargetConfig } from './schema.ts'

export interface ApiSettings {
  readonly targets: readonly TargetConfig[]
  readonly issuers: readonly IssuerSetting[]
}

export const noSettings: ApiSettings = { targets: [], issuers: [] }

/** What both name is the file's: two sources never mix in one object. */
export function withFile(file: ApiSettings, api: ApiSettings): ApiSettings {
  return {
    targets: [...file.targets, ...besides(file.targets, api.targets, ({ name }) => name)],
    issuers: [...file.issuers, ...besides(file.issuers, api.issuers, ({ issuer }) => issuer)],
  }
}

function besides<T>(own: readonly T[], others: readonly T[], idOf: (one: T) => string): T[] {
  const names = new Set(own.map(idOf))
  return others.filter((one) => !names.has(idOf(one)))
}
