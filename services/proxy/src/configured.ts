/**
 * What is configured, by the file and by the API, as one: which targets there are, and whose tokens are taken. It is swapped
 * whenever the control log says something else; sessions that are open go on with what they were opened with. What
 * the file names is the file's, whatever the API says.
 */
import type { ApiSettings, Config } from '@portcullis/config'
import { noSettings, withFile } from '@portcullis/config/api-settings'
import { createVerifierIssuers } from '@portcullis/config/issuers'
import { aimsWithin } from '@portcullis/config/secret-aims'
import type { TokenVerifier } from '@portcullis/identity'
import type { Vault } from '@portcullis/vault'
import { createTargetBook, type MayUse, readTls, type TargetBook } from './targets.ts'

export interface Configured {
  /** Of this moment. */
  readonly targets: TargetBook
  /** From now on this is what the API has configured. Never throws: an issuer that cannot be served is told. */
  replace(settings: ApiSettings): void
}

export interface ConfiguredDeps {
  readonly config: Pick<Config, 'targets' | 'identity'>
  readonly vault: Pick<Vault, 'borrow'>
  /** Where a sealed secret may be sent, as of now; undefined where nobody has said. */
  readonly addressesOf: (sealedName: string) => readonly string[] | undefined
  readonly verifier: Pick<TokenVerifier, 'replace' | 'warmUp'>
  readonly log: { info(fields: object, message: string): void; error(fields: object, message: string): void }
}

/** @throws where a certificate of the file cannot be read. */
export function createConfigured({ config, vault, addressesOf, verifier, log }: ConfiguredDeps): Configured {
  const file: ApiSettings = { targets: config.targets, issuers: config.identity.issuers }
  for (const target of file.targets) readTls(target)
  const ofFile = new Set(file.targets.map(({ name }) => name))
  const mayUse: MayUse = (target, sealedName) => {
    const addresses = ofFile.has(target.name) ? undefined : addressesOf(sealedName)
    return addresses === undefined || aimsWithin(addresses, target)
  }
  const verifierIssuers = createVerifierIssuers(file.issuers)
  let book = createTargetBook(withFile(file, noSettings), vault, mayUse)
  let servedText = JSON.stringify(withFile(file, noSettings))
  return {
    targets: {
      get version() {
        return book.version
      },
      authorise: (...asked) => book.authorise(...asked),
    },
    replace(settings) {
      const whole = withFile(file, settings)
      const next = createTargetBook(whole, vault, mayUse)
      const text = JSON.stringify(whole)
      if (text === servedText) return
      for (const error of verifier.replace(verifierIssuers(whole.issuers)))
        log.error({ why: error.message }, 'an issuer cannot be served: what stood under its name stands')
      book = next
      servedText = text
      // So that the first login of an issuer that is new finds its keys.
      void verifier.warmUp()
      const { targets, issuers } = settings
      log.info(
        { policyVersion: book.version, targets: targets.length, issuers: issuers.length },
        'what the API configured is in force',
      )
    },
  }
}
