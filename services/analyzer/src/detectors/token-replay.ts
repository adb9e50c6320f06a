/**
 * One token used from two addresses within its life: it was carried somewhere, or stolen. The first command of a session
 * says which token opened it, from which place (an address; of IPv6 a /64; a network where tokens are pinned to one), and
 * from where else its own proxy saw the token; places at other proxies are known from their sessions. Judged from the first
 * command on: it is no matter of custom.
 *
 * False steps: a client behind a pool of outgoing addresses. Tokens of one run that are used by several machines are
 * several tokens. What was refused at the door does not raise `observed`, the number of places that got in.
 */
import type { CommandEvent, Departure, Detector } from '@portcullis/kernel'

export interface TokenReplayState {
  /** Token, place and address of each use, the latest last. */
  uses: [token: string, place: string, address: string][]
}

const usesMax = 48

export function tokenReplay(): Detector<TokenReplayState> {
  return {
    name: 'token-replay',
    stateVersion: 1,
    always: true,
    initial: () => ({ uses: [] }),
    inspect(prior, event) {
      const use = useOf(event)
      if (!use) return []
      const elsewhere = prior.uses.filter(([token, place]) => token === use.token && place !== use.place)
      const addresses = [...new Set([...elsewhere.map(([, , address]) => address), ...use.others])]
      if (addresses.length === 0) return []
      const places = new Set([use.place, ...elsewhere.map(([, place]) => place)])
      return [departure(event, addresses, places.size)]
    },
    evolve(prior, event) {
      const use = useOf(event)
      if (!use) return prior
      const { address } = event.origin
      const rest = prior.uses.filter(([token, place]) => token !== use.token || place !== use.place)
      prior.uses = [
        ...rest,
        [use.token, use.place, address] satisfies TokenReplayState['uses'][number],
      ].slice(-usesMax)
      return prior
    },
  }
}

interface Use {
  readonly token: string
  readonly place: string
  /** Addresses that the proxy saw this token come from besides, let in or not. */
  readonly others: readonly string[]
}

/** Undefined but for the first command of a session that a token opened. */
function useOf({ attributes }: CommandEvent): Use | undefined {
  const token = read(attributes['token.id'])
  const place = read(attributes['token.place'])
  if (typeof token !== 'string' || typeof place !== 'string') return undefined
  const others = read(attributes['token.others'])
  const isText = (value: unknown) => typeof value === 'string'
  return { token, place, others: Array.isArray(others) ? others.filter(isText) : [] }
}

function read(attribute: string | undefined): unknown {
  try {
    return attribute === undefined ? undefined : JSON.parse(attribute)
  } catch {
    // Of a version that writes otherwise: as good as absent.
    return undefined
  }
}

function departure(event: CommandEvent, addresses: readonly string[], places: number): Departure {
  const { address } = event.origin
  return {
    feature: 'token-replay',
    severity: 'warning',
    score: addresses.length,
    observed: places,
    expected: 1,
    unit: 'places',
    explanation: `one token used from ${[...addresses, address].join(' and ')} within its life`,
    commandIds: [event.commandId],
    windowStart: event.startedAt,
    windowEnd: event.startedAt,
  }
}
