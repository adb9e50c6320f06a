/**
 * A value that does not show itself: whoever prints, logs, inspects or serialises it gets `***`. Only `reveal` tells, so
 * that a search for it finds every place that sees a secret.
 */
import { inspect } from 'node:util'

const mask = '***'

export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  reveal(): string {
    return this.#value
  }

  /** Whether both hold the same value. */
  equals(other: Secret): boolean {
    return this.#value === other.#value
  }

  toString(): string {
    return mask
  }

  toJSON(): string {
    return mask
  }

  [Symbol.toPrimitive](): string {
    return mask
  }

  [inspect.custom](): string {
    return mask
  }
}
