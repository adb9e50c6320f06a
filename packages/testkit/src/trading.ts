/** The API of a test system as its clients use it: trades of tokens, and calls with the test's own token. */
import type { System } from './system.ts'

/** A token of our own for `subjectToken` (an API key or a JWT). Throws Error with the answer where it is refused. */
export async function trade(
  system: System,
  subjectToken: string,
  parameters: Readonly<Record<string, string>> = {},
): Promise<string> {
  const isKey = subjectToken.startsWith('pck_')
  const response = await fetch(`${system.apiUrl}/v1/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: subjectToken,
      subject_token_type: isKey
        ? 'urn:portcullis:token-type:api-key'
        : 'urn:ietf:params:oauth:token-type:jwt',
      ...parameters,
    }),
  })
  const answer = (await response.json()) as { access_token?: string }
  if (answer.access_token === undefined) throw new Error(`no token was traded: ${JSON.stringify(answer)}`)
  return answer.access_token
}

/** Throws Error with the answer where it is none of success. */
export async function callApi<T>(
  system: System,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body?: object,
): Promise<T> {
  const response = await fetch(`${system.apiUrl}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${system.apiToken}`,
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  })
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  return (await response.json()) as T
}
