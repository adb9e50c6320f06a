/**
 * Where a proof comes from on a machine that nobody signs in at: a CI job's or a pod's own OIDC token, which its platform
 * made for this one purpose. It keeps none of them.
 */
import { readFileSync } from 'node:fs'
import { type Options, textOption } from './command.ts'
import { CliError, messageOf, shown } from './errors.ts'

export const sourceNames = ['env', 'file', 'github-actions', 'gitlab', 'kubernetes'] as const
export type SourceName = (typeof sourceNames)[number]

const audienceDefault = 'portcullis'
const kubernetesFile = '/var/run/secrets/portcullis/token'

/** The proof of one source. @throws CliError not_signed_in, file, unreachable, refused */
export function readSource(
  source: SourceName,
  options: Options,
  env: NodeJS.ProcessEnv,
): Promise<string> | string {
  switch (source) {
    case 'env':
      return required(env.PORTCULLIS_TOKEN, 'PORTCULLIS_TOKEN is not set', 'set it to a token or an API key')
    case 'file':
      return ofFile(textOption(options, 'file') ?? (env.PORTCULLIS_TOKEN_FILE || undefined))
    case 'github-actions':
      return ofGithub(textOption(options, 'audience') ?? (env.PORTCULLIS_AUDIENCE || audienceDefault), env)
    case 'gitlab':
      return required(
        env.PORTCULLIS_ID_TOKEN,
        'this GitLab job has no PORTCULLIS_ID_TOKEN',
        'give the job id_tokens: { PORTCULLIS_ID_TOKEN: { aud: portcullis } }',
      )
    case 'kubernetes':
      return ofFile(textOption(options, 'file') ?? (env.PORTCULLIS_TOKEN_FILE || kubernetesFile))
  }
}

/** The one that this machine shows to have; undefined where it shows none. */
export function detectSource(env: NodeJS.ProcessEnv): SourceName | undefined {
  if (env.PORTCULLIS_TOKEN_FILE) return 'file'
  if (env.ACTIONS_ID_TOKEN_REQUEST_URL && env.ACTIONS_ID_TOKEN_REQUEST_TOKEN) return 'github-actions'
  if (env.GITLAB_CI && env.PORTCULLIS_ID_TOKEN) return 'gitlab'
  return env.KUBERNETES_SERVICE_HOST && isThere(kubernetesFile) ? 'kubernetes' : undefined
}

function isThere(file: string): boolean {
  try {
    readFileSync(file)
    return true
  } catch {
    return false
  }
}

function required(value: string | undefined, what: string, hint: string): string {
  if (value) return value
  throw new CliError('not_signed_in', what, hint)
}

function ofFile(file: string | undefined): string {
  if (file === undefined)
    throw new CliError(
      'usage',
      'no file with a token is named',
      'give --file PATH, or set PORTCULLIS_TOKEN_FILE',
    )
  try {
    return required(readFileSync(file, 'utf8').trim(), `${file} is empty`, 'it should hold a token')
  } catch (cause) {
    if (cause instanceof CliError) throw cause
    throw new CliError(
      'not_signed_in',
      `${file} cannot be read: ${messageOf(cause)}`,
      'in Kubernetes, mount a projected serviceAccountToken of audience portcullis there',
      { cause },
    )
  }
}

/** https://docs.github.com/en/actions/reference/security/oidc: the runner's own endpoint, by the job's own token. */
async function ofGithub(audience: string, env: NodeJS.ProcessEnv): Promise<string> {
  const { ACTIONS_ID_TOKEN_REQUEST_URL: url, ACTIONS_ID_TOKEN_REQUEST_TOKEN: bearer } = env
  if (!url || !bearer)
    throw new CliError(
      'not_signed_in',
      'this job may not ask GitHub for a token',
      'give the workflow or the job permissions: { id-token: write }',
    )
  let status: number
  let body: { readonly value?: unknown; readonly message?: unknown }
  try {
    const address = new URL(url)
    address.searchParams.set('audience', audience)
    const response = await fetch(address, {
      headers: { authorization: `Bearer ${bearer}`, accept: 'application/json' },
      redirect: 'error',
      signal: AbortSignal.timeout(20_000),
    })
    status = response.status
    body = (await response.json()) as typeof body
  } catch (cause) {
    const why = shown(messageOf(cause instanceof Error && cause.cause ? cause.cause : cause))
    throw new CliError(
      'unreachable',
      `GitHub's token endpoint cannot be reached: ${why}`,
      'run the step again',
      {
        cause,
      },
    )
  }
  if (status === 200 && typeof body.value === 'string') return body.value
  throw new CliError(
    'refused',
    `GitHub gives this job no token (status ${status}): ${shown(String(body.message ?? 'no reason'))}`,
    'look at permissions: { id-token: write } of the workflow; forks have none',
  )
}
