export { ConfigError } from './errors.ts'
export { loadConfig, parseConfig } from './load.ts'
export { type Config, configSchema, type TargetConfig } from './schema.ts'
export { resolveSecret, resolveValue } from './secret.ts'
