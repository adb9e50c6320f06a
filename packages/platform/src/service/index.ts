export { type HealthServer, pidHeader, startHealth } from './health.ts'
export { createLog, type Log } from './log.ts'
export { createMetrics, type Metrics } from './metrics.ts'
export { runService, type ServiceContext, type ServiceOptions } from './run.ts'
