/**
 * All the ways in which people sign in here, by name; what an HTTP server needs to offer them:
 *
 *   GET  /sign-in/:provider           begin()     -> redirect (or a page with a form), set the cookie
 *   GET  /sign-in/:provider/callback  finish()    -> Person      (OIDC)
 *   POST /sign-in/:provider/acs       finish()    -> Person      (SAML: the assertion consumer service)
 *   GET  /sign-in/:provider/metadata  metadata()  -> our SAML metadata
 *
 * Addresses come from `publicUrl` alone. Refuses an answer of one protocol at a provider of the other. What a Person may
 * do here is said by the group mapping (roles.ts), and how long by whoever issues the session.
 */
import type { Clock } from '@portcullis/kernel'
import { SignInError } from './errors.ts'
import { createOidcProvider, type OidcProvider, type OidcProviderConfig } from './oidc.ts'
import type { Begun, SignedIn } from './person.ts'
import { createSamlProvider, type SamlProvider, type SamlProviderConfig } from './saml.ts'
import { createTransactions } from './transaction.ts'
import { createUsedOnce, type UsedOnce } from './used-once.ts'

export type ProviderConfig = { readonly title: string } & (
  | ({ readonly kind: 'oidc' } & OidcProviderConfig)
  | ({ readonly kind: 'saml' } & Omit<SamlProviderConfig, 'entityId' | 'acsUrl'> & {
        /** Default: the address of our metadata. */
        readonly entityId?: string | undefined
      })
)

export interface SignInOptions {
  /** Where browsers reach the API, without a path at its end: `https://portcullis.example`. */
  readonly publicUrl: string
  /** At least 32 random bytes, the same for all replicas. */
  readonly key: Uint8Array
  /** How long a person may take at the provider; default 600. */
  readonly transactionSec?: number
  readonly providers: readonly ProviderConfig[]
  readonly clock: Pick<Clock, 'nowUs'>
  /** Shared by all replicas; default this process's memory. */
  readonly used?: UsedOnce
}

/** What came back from the provider. */
export type Answer =
  /** `url`: path and query of the request, or the whole address. */
  | { readonly kind: 'query'; readonly url: string }
  | { readonly kind: 'form'; readonly samlResponse: string; readonly relayState: string | undefined }

export interface SignIn {
  /** For the page that offers them, in the order of the configuration. */
  readonly providers: readonly {
    readonly name: string
    readonly title: string
    readonly kind: 'oidc' | 'saml'
  }[]
  /** @throws SignInError unknown_provider, provider_unavailable, config */
  begin(provider: string, returnTo: string): Promise<Begun>
  /** `transaction` is the cookie's value. @throws SignInError */
  finish(provider: string, answer: Answer, transaction: string | undefined): Promise<SignedIn>
  /** @throws SignInError unknown_provider */
  metadata(provider: string): string
}

type Provider =
  | { readonly kind: 'oidc'; readonly provider: OidcProvider; readonly callback: string }
  | { readonly kind: 'saml'; readonly provider: SamlProvider; readonly callback: string }

/** @throws SignInError config */
export function createSignIn(options: SignInOptions): SignIn {
  const { clock, key, transactionSec: lifeSec = 600 } = options
  const used = options.used ?? createUsedOnce(clock)
  const deps = { clock, used, transactions: createTransactions({ key, lifeSec, clock, used }) }
  const byName = new Map<string, Provider>()
  for (const config of options.providers) {
    const { name } = config
    if (!/^[a-z0-9][a-z0-9._-]{0,62}$/.test(name) || byName.has(name))
      throw new SignInError(
        'config',
        `provider ${JSON.stringify(name)}: the name is not of its form, or stands twice`,
      )
    const base = `${options.publicUrl}/sign-in/${name}`
    const callback = `${base}/${config.kind === 'oidc' ? 'callback' : 'acs'}`
    byName.set(
      name,
      config.kind === 'oidc'
        ? { kind: 'oidc', callback, provider: createOidcProvider(config, deps) }
        : {
            kind: 'saml',
            callback,
            provider: createSamlProvider(
              { ...config, entityId: config.entityId ?? `${base}/metadata`, acsUrl: callback },
              deps,
            ),
          },
    )
  }

  const find = (name: string): Provider => {
    const found = byName.get(name)
    if (!found) throw new SignInError('unknown_provider', 'there is no sign-in provider of this name')
    return found
  }

  return {
    providers: options.providers.map(({ name, title, kind }) => ({ name, title, kind })),
    async begin(name, returnTo) {
      const { provider, callback } = find(name)
      return provider.begin({ redirectUri: callback, returnTo })
    },
    async finish(name, answer, transaction) {
      const found = find(name)
      if (found.kind === 'saml' && answer.kind === 'form') return found.provider.finish(answer, transaction)
      if (found.kind === 'saml' || answer.kind === 'form')
        throw new SignInError('malformed', 'the answer is of another protocol than this provider')
      if (transaction === undefined) throw new SignInError('transaction_invalid', 'there is no transaction')
      // A path would do; whatever host it names is not looked at.
      const url = URL.parse(answer.url, found.callback)?.href
      if (url === undefined) throw new SignInError('malformed', 'the callback is no address')
      return found.provider.finish(url, transaction)
    },
    metadata(name) {
      const found = find(name)
      if (found.kind !== 'saml')
        throw new SignInError('unknown_provider', 'this provider has no SAML metadata')
      return found.provider.metadata()
    },
  }
}
