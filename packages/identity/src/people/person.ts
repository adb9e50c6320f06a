/** Who signed in, as a provider proved it. */
export interface Person {
  /** OIDC: the ID token's `iss`. SAML: the identity provider's entity id. */
  readonly issuer: string
  /** OIDC: `sub`. SAML: the NameID, or the configured attribute. Stable, and unique within the issuer. */
  readonly subject: string
  /** For the screen only; decides nothing. */
  readonly name: string
  /** For the screen only; decides nothing. */
  readonly email: string
  readonly groups: readonly string[]
  /** When the person last proved themselves to the provider, microseconds since 1970 UTC, where it says so. */
  readonly authTimeUs: number | undefined
  /** OIDC `acr`; SAML AuthnContextClassRef. */
  readonly acr: string | undefined
  /** OIDC `amr`; empty with SAML. */
  readonly amr: readonly string[]
  /** The provider wants the session over by then (SAML SessionNotOnOrAfter), microseconds since 1970 UTC. */
  readonly sessionEndsUs: number | undefined
}

export interface SignedIn {
  readonly provider: string
  readonly person: Person
  /** A path on this origin, safe to redirect to. */
  readonly returnTo: string
}

/** What the browser has to do to begin. */
export interface Begun {
  /** Redirect here (GET). With `form`, answer with a page that posts these fields here (form-page.ts). */
  readonly url: string
  readonly form: Readonly<Record<string, string>> | undefined
  /** Opaque, at most 2,048 characters, fit for a cookie's value: Secure, HttpOnly, Path of the callback. */
  readonly transaction: string
  /** SAML answers with a POST from another site, for which a browser sends no Lax cookie. */
  readonly cookieSameSite: 'lax' | 'none'
  /** When the transaction ends, microseconds since 1970 UTC: the cookie's age. */
  readonly expiresAtUs: number
}

export interface BeginOptions {
  /** Where the provider sends the browser back: exact, registered there, and derived from configuration, never from a Host header. */
  readonly redirectUri: string
  /** Where the person wanted to go; anything but a path on this origin becomes `/`. */
  readonly returnTo: string
}
