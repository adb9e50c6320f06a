/** The part of oidc-provider 9 that the demo's issuer and testkit's provider use; the package ships no types. */
declare module 'oidc-provider' {
  import type { IncomingMessage, ServerResponse } from 'node:http'

  export interface TokenRequestContext {
    readonly oidc: { readonly body?: Readonly<Record<string, unknown>> }
  }

  export default class Provider {
    constructor(issuer: string, configuration: object)
    callback(): (request: IncomingMessage, response: ServerResponse) => Promise<void>
    interactionDetails(
      request: IncomingMessage,
      response: ServerResponse,
    ): Promise<{
      readonly prompt: { readonly name: string }
      readonly params: Readonly<Record<string, unknown>>
      readonly session?: { readonly accountId: string }
    }>
    interactionFinished(
      request: IncomingMessage,
      response: ServerResponse,
      result: object,
      options: { readonly mergeWithLastSubmission: boolean },
    ): Promise<void>
    readonly Grant: new (of: {
      readonly accountId: string
      readonly clientId: string
    }) => { addOIDCScope(scope: string): void; save(): Promise<string> }
    on(event: 'server_error', listener: (context: unknown, error: Error) => void): this
    on(event: 'grant.error', listener: (context: unknown, error: Error) => void): this
  }

  export namespace errors {
    class InvalidRequest extends Error {
      constructor(description: string)
    }
  }
}
