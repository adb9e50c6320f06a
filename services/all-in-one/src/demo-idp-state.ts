/** The demo issuer's signing key and port, kept so that a second start is the same issuer. Readable by its owner alone. */
import { generateKeyPairSync, type JsonWebKey, randomUUID } from 'node:crypto'
import { chmod, mkdir, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'

export interface DemoIdpState {
  readonly port: number
  /** Private. */
  readonly jwk: JsonWebKey & { readonly kid: string }
}

/** undefined before the first start. Rejects with an Error that names the file where it is damaged. */
export async function readDemoIdpState(dir: string): Promise<DemoIdpState | undefined> {
  const path = statePath(dir)
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
  try {
    const { port, jwk } = JSON.parse(text)
    if (Number.isInteger(port) && typeof jwk?.kid === 'string' && typeof jwk.d === 'string')
      return { port, jwk }
  } catch (cause) {
    throw new Error(`${path} is damaged: remove it to begin anew with other identities`, { cause })
  }
  throw new Error(`${path} does not hold a port and a key: remove it to begin anew with other identities`)
}

/** Writes what is not yet there. A crash leaves the file whole or absent. */
export async function writeDemoIdpState(
  dir: string,
  port: number,
  known: DemoIdpState | undefined,
): Promise<DemoIdpState> {
  if (known) {
    await chmod(statePath(dir), 0o600)
    return known
  }
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'ES256' }
  const state: DemoIdpState = { port, jwk }
  const file = await open(`${statePath(dir)}.new`, 'w', 0o600)
  try {
    await file.writeFile(JSON.stringify(state))
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${statePath(dir)}.new`, statePath(dir))
  return state
}

function statePath(dir: string): string {
  return join(dir, 'demo-idp.json')
}
