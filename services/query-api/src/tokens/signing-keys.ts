/**
 * The keys that our own tokens are signed with: made when first needed, sealed in the control log, the latest signs. A key
 * that was followed by another verifies until nothing it signed can live any more, then it is retired. It refuses to keep
 * a private half anywhere but in memory and sealed.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import type { Clock, ControlEvent, SigningKey } from '@portcullis/kernel'
import { ownAlgorithm } from '@portcullis/identity'
import { type ControlLog, ControlError } from '@portcullis/platform/control'
import type { Log } from '@portcullis/platform/service'
import { type SealContext, type Sealer, Secret } from '@portcullis/vault'
import { ApiError } from '../problems.ts'

export interface SigningKeys {
  /** The key that signs; makes the first. @throws ApiError control_unavailable, not_configured */
  current(): Promise<{ readonly keyId: string; readonly privateKey: KeyObject }>
  /** Latest first, with when each was or will be retired as superseded; undefined for the one that signs. */
  list(): readonly (SigningKey & { readonly retiresAt: number | undefined })[]
  /** A new key signs from now on. `retireNow`: those before are refused at once. Returns the new key's id. */
  rotate(actor: ControlEvent['actor'], reason: string, retireNow: boolean): Promise<string>
  /** Another master key seals now: a new key signs from now on, so that the old one is needed no longer. Its id, if so. */
  renewIfOld(actor: ControlEvent['actor']): Promise<string | undefined>
  /** Retires what was superseded long enough ago. Never rejects. */
  retireSuperseded(): Promise<void>
}

export interface SigningKeysOptions {
  readonly control: Pick<ControlLog, 'state' | 'caughtUp' | 'write'>
  /** Undefined where no master key is configured. */
  readonly sealer: Sealer | undefined
  readonly clock: Clock
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>
  /** The longest that a token can live. */
  readonly tokenSecMax: number
}

const gate: ControlEvent['actor'] = { issuer: 'portcullis', subject: 'query-api', roles: [] }
/** Of clocks, and of a trade that was under way. */
const graceSec = 60

export function createSigningKeys(options: SigningKeysOptions): SigningKeys {
  const { control, clock, log } = options
  const opened = new Map<string, KeyObject>()
  let making: Promise<string> | undefined

  function ready(): Sealer {
    if (!options.sealer)
      throw new ApiError(
        'not_configured',
        'No tokens are given out here: neither identity.own.key nor secrets.sealing is configured.',
      )
    if (!control.caughtUp())
      throw new ApiError('control_unavailable', 'The control log is still being read.', { retryAfterSec: 2 })
    return options.sealer
  }

  async function make(actor: ControlEvent['actor']): Promise<string> {
    const sealer = ready()
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const keyId = `sig-${randomBytes(8).toString('hex')}`
    const secret = new Secret(privateKey.export({ format: 'pem', type: 'pkcs8' }).toString())
    const sealedPrivateKey = await sealer.seal(secret, contextOf(keyId))
    const publicJwk = JSON.stringify(publicKey.export({ format: 'jwk' }))
    await control.write(
      { type: 'signing-key.added', keyId, algorithm: ownAlgorithm, publicJwk, sealedPrivateKey },
      actor,
      { expectedVersion: 0 },
    )
    log.info({ keyId }, 'a new signing key')
    return keyId
  }

  async function open({ keyId, sealedPrivateKey }: SigningKey): Promise<KeyObject> {
    const known = opened.get(keyId)
    if (known) return known
    try {
      const secret = await ready().open(sealedPrivateKey, contextOf(keyId))
      const key = createPrivateKey(secret.reveal())
      opened.set(keyId, key)
      return key
    } catch (cause) {
      if (cause instanceof ApiError) throw cause
      log.error({ err: cause, keyId }, 'the signing key cannot be opened: was the master key changed?')
      throw new ApiError(
        'not_configured',
        'The signing key cannot be opened with the master key that is configured (identity.own.key, or else secrets.sealing). Put the old one back, or rotate the signing key.',
        { cause },
      )
    }
  }

  async function retire(keyId: string, actor: ControlEvent['actor'], reason: string): Promise<void> {
    try {
      await control.write({ type: 'signing-key.retired', keyId, reason }, actor)
    } catch (error) {
      // Another process of this service was first.
      if (!(error instanceof ControlError) || error.rejection !== 'not_found') throw error
    }
    opened.delete(keyId)
  }

  return {
    async current() {
      ready()
      if (control.state().signingKeys.size === 0) {
        making ??= make(gate).finally(() => {
          making = undefined
        })
        await making
      }
      const key = [...control.state().signingKeys.values()].at(-1)
      if (!key) throw new Error('a signing key that was accepted is not there')
      return { keyId: key.keyId, privateKey: await open(key) }
    },
    list: () => withEnds([...control.state().signingKeys.values()], options.tokenSecMax).toReversed(),
    async rotate(actor, reason, retireNow) {
      const before = [...control.state().signingKeys.keys()]
      const keyId = await make(actor)
      if (retireNow) for (const old of before) await retire(old, actor, reason)
      return keyId
    },
    async renewIfOld(actor) {
      const key = [...control.state().signingKeys.values()].at(-1)
      if (!options.sealer || !key || !ready().isOld(key.sealedPrivateKey)) return undefined
      return make(actor)
    },
    async retireSuperseded() {
      if (!options.sealer || !control.caughtUp()) return
      try {
        for (const { keyId, retiresAt } of withEnds(
          [...control.state().signingKeys.values()],
          options.tokenSecMax,
        ))
          if (retiresAt !== undefined && retiresAt <= clock.nowUs())
            await retire(keyId, gate, 'superseded, and nothing that it signed is valid any more')
      } catch (error) {
        log.warn({ err: error }, 'a superseded signing key could not be retired yet')
      }
    },
  }
}

/** In the log's order. */
function withEnds(keys: readonly SigningKey[], tokenSecMax: number) {
  return keys.map((key, index) => {
    const next = keys[index + 1]
    return { ...key, retiresAt: next && next.addedAt + (tokenSecMax + graceSec) * 1_000_000 }
  })
}

function contextOf(keyId: string): SealContext {
  return { aggregateId: `signing-key/${keyId}`, name: 'private', version: 0 }
}
