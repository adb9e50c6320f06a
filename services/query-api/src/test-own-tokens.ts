/** For tests: tokens and keys of our own over a given control log. */
import { randomBytes } from 'node:crypto'
import {
  createDpopVerifier,
  createUsedOnce,
  createProver,
  IdentityError,
  type JudgeUse,
  type TokenVerifier,
} from '@portcullis/identity'
import { systemClock } from '@portcullis/kernel'
import type { ControlLog } from '@portcullis/platform/control'
import { createLog } from '@portcullis/platform/service'
import { createLocalKeys, createSealer, type Sealer } from '@portcullis/vault'
import type { OwnTokenParts } from './app.ts'
import { provingFromHere } from './proving.ts'
import { createSigningKeys } from './tokens/signing-keys.ts'
import { usualRates } from './tokens/trade-rates.ts'

const log = createLog({ service: 'test', level: 'silent' })
/** Shared, as two processes of one configuration share it. */
export const masterKey = randomBytes(32).toString('base64')
const names = { issuer: 'http://127.0.0.1:8080', audience: 'portcullis' }

/** `issuers`: those that this test trusts. */
export function testProver(issuers: Pick<TokenVerifier, 'verify'> = nobody) {
  return createProver({ own: names, issuers, clock: systemClock, log })
}

export function testDpop() {
  return createDpopVerifier({
    ...{ baseUrl: names.issuer, clock: systemClock },
    used: createUsedOnce(systemClock),
  })
}

const nobody = {
  verify: () => Promise.reject(new IdentityError('unknown_issuer', 'no issuer is trusted here')),
}

export function testSealer(key: string): Sealer {
  return createSealer(createLocalKeys([{ id: 'own', key: 'env:OWN_KEY' }], () => key))
}

export function testOwnTokens(
  control: Pick<ControlLog, 'state' | 'caughtUp' | 'write'>,
  prover: OwnTokenParts['prover'],
  sealer = testSealer(masterKey),
  judgeUse: JudgeUse = () => ({ attributes: {} }),
): OwnTokenParts {
  const limits = { tokenSecMax: 3600, ancestorsMax: 4 }
  const { tokenSecMax } = limits
  return {
    ...{ prover, prove: provingFromHere(prover, judgeUse), names, limits },
    dpop: testDpop(),
    signingKeys: createSigningKeys({ control, clock: systemClock, log, tokenSecMax, sealer }),
    rates: { ...usualRates, failuresMax: 1_000, perIdentityMax: 1_000 },
    targets: { has: (name) => ['shop', 'orders'].includes(name), hasRole: () => true },
    taken: new Set(['watch', 'ops', 'root']),
  }
}
