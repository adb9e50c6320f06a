export { ConfigError } from './errors.ts'
export { loadConfig, loadConfigHere, parseConfig } from './load.ts'
export {
  apiTokenCharsMin,
  type Config,
  configSchema,
  type IssuerSetting,
  type SshConfig,
  type TargetConfig,
} from './schema.ts'
export { resolveSecret } from './secret.ts'
export {
  type ApiSettings,
  besides,
  type Checked,
  checkIssuer,
  checkTarget,
  createSettingsReader,
  noSettings,
} from './settings.ts'
