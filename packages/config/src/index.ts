export { type ApiSettings, noSettings, withFile } from './api-settings.ts'
export { ConfigError } from './errors.ts'
export { loadConfig, loadConfigHere, parseConfig } from './load.ts'
export { aimAddress } from './forms.ts'
export {
  apiTokenCharsMin,
  type Config,
  configSchema,
  type IssuerSetting,
  type SshConfig,
  type TargetConfig,
} from './schema.ts'
export { resolveSecret } from './secret.ts'
export { type Checked, checkIssuer, checkTarget, createSettingsReader } from './settings.ts'
