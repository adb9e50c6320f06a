/**
 * Reads what the API configured for the workers of a replica, once for all of them: the schema is the agent's to carry. What
 * does not pass is told in the log, and what stood under that name before goes on to stand.
 */
import { type Config, createSettingsReader } from '@portcullis/config'
import type { Holdings } from '@portcullis/kernel'
import { createDocumentReader } from '@portcullis/policy'
import type { WorkerHoldings } from './protocol.ts'

export function createWorkerHoldings(
  config: Pick<Config, 'secrets' | 'identity' | 'api'>,
  log: { error(fields: object, message: string): void },
): (holdings: Holdings) => WorkerHoldings {
  const read = createSettingsReader(config, (what, problems) =>
    log.error(
      { what, problems },
      'a setting of the API is not taken: what stood before, if anything, stands',
    ),
  )
  const readPolicies = createDocumentReader((policy, problems) =>
    log.error(
      { policy, problems },
      'a policy of the API is not taken: what stood under its name stands, or where nothing did, all is blocked',
    ),
  )
  const known = new WeakMap<Holdings, WorkerHoldings>()
  return (holdings) => {
    const before = known.get(holdings)
    if (before) return before
    const { targets, issuers, policies, ...rest } = holdings
    const mine = {
      ...rest,
      settings: read({ targets, issuers }),
      policies: readPolicies(policies).map(({ name, text }) => ({ name, text })),
    }
    known.set(holdings, mine)
    return mine
  }
}
