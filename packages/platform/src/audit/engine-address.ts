import { AuditError } from './errors.ts'

/** Where the embedded engine listens and the secret it was started with. */
export interface EngineAddress {
  readonly url: string
  readonly password: string
}

/**
 * From the environment that the process which started the engine gave to this one; undefined where there is none. Takes
 * the secret out of `env`, so that no child of this process inherits it.
 */
export function takeEngineAddress(env: NodeJS.ProcessEnv): EngineAddress | undefined {
  const url = env.PORTCULLIS_ENGINE_URL
  const password = env.PORTCULLIS_ENGINE_PASSWORD
  delete env.PORTCULLIS_ENGINE_PASSWORD
  if (url === undefined && password === undefined) return undefined
  if (!url || !password)
    throw new AuditError(
      'invalid_url',
      'PORTCULLIS_ENGINE_URL and PORTCULLIS_ENGINE_PASSWORD come together: one of them is missing',
    )
  return { url, password }
}
