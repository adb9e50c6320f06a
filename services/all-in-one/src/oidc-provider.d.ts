/** The part of oidc-provider 9 that the demo's issuer uses; the package ships no types. */
declare module 'oidc-provider' {
  import type { IncomingMessage, ServerResponse } from 'node:http'

  export interface TokenRequestContext {
    readonly oidc: { readonly body?: Readonly<Record<string, unknown>> }
  }

  export default class Provider {
    constructor(issuer: string, configuration: object)
    callback(): (request: IncomingMessage, response: ServerResponse) => Promise<void>
    on(event: 'server_error', listener: (context: unknown, error: Error) => void): this
    on(event: 'grant.error', listener: (context: unknown, error: Error) => void): this
  }

  export namespace errors {
    class InvalidRequest extends Error {
      constructor(description: string)
    }
  }
}
