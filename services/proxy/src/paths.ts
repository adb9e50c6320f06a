/** Where a proxy replica keeps what must survive it; all of it under one persistent volume. */
import { join } from 'node:path'
import type { Config } from '@portcullis/config'

export function proxyPaths(config: Pick<Config, 'dataDir' | 'proxy'>) {
  const base = join(config.dataDir, 'proxy', config.proxy.name)
  return {
    base,
    /** One directory for each recorder. */
    records: join(base, 'records'),
    budgets: join(base, 'budgets'),
    /** State folded from the control and verdicts topics. */
    control: join(base, 'control'),
    agentSocket: join(base, 'agent.sock'),
  }
}
