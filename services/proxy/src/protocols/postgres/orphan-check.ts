/**
 * A backend that computes does not notice that its client is gone. The gate cancels what its clients leave behind, but
 * not when the gate itself is killed: so each session asks its server to look by itself (PostgreSQL 14 and later). A
 * server or pooler that does not know the setting is asked once and then left alone.
 */
import type { TargetAccess } from '@portcullis/kernel'
import type { Upstream } from './upstream.ts'
import { UpstreamError } from './upstream-error.ts'

export type OpenUpstream = (
  access: TargetAccess,
  parameters: Readonly<Record<string, string>>,
) => Promise<Upstream>

const setting = 'client_connection_check_interval'
const intervalMs = '500'

export function createUpstreams(open: OpenUpstream): OpenUpstream {
  const without = new Set<string>()
  return async (access, parameters) => {
    if (setting in parameters || without.has(access.name)) return open(access, parameters)
    try {
      return await open(access, { ...parameters, [setting]: intervalMs })
    } catch (error) {
      if (!(error instanceof UpstreamError) || !String(error.cause).includes(setting)) throw error
      without.add(access.name)
      return open(access, parameters)
    }
  }
}
