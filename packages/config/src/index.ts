export { ConfigError } from './errors.ts'
export { loadConfig, loadConfigHere, parseConfig } from './load.ts'
export { apiTokenCharsMin, type Config, configSchema, type SshConfig, type TargetConfig } from './schema.ts'
export { resolveSecret } from './secret.ts'
