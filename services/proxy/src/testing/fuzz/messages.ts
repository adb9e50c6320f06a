/** Cuts a byte stream into messages, plainly and by copying: an opinion of its own on where the gate's framing must agree. */
export interface Message {
  readonly type: number
  /** With its header. */
  readonly bytes: Buffer
}

export class MessageReader {
  #held: Buffer = Buffer.alloc(0)

  /** The beginning of a message that is not whole yet. */
  get partial(): Buffer {
    return this.#held
  }

  /** Whole messages; stops for good where a length cannot be. */
  read(bytes: Buffer): Message[] {
    this.#held = this.#held.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#held, bytes])
    const messages: Message[] = []
    let at = 0
    while (this.#held.length - at >= 5) {
      const end = at + 1 + this.#held.readUInt32BE(at + 1)
      if (end < at + 5 || end > this.#held.length) break
      messages.push({ type: this.#held[at] as number, bytes: this.#held.subarray(at, end) })
      at = end
    }
    this.#held = this.#held.subarray(at)
    return messages
  }
}

/** The strings that a message's payload begins with, a character a byte; fewer where it ends before. */
export function stringsOf(bytes: Buffer, count: number, from = 5): string[] {
  const strings: string[] = []
  for (let at = from; strings.length < count; ) {
    const end = bytes.indexOf(0, at)
    if (end < 0) break
    strings.push(bytes.toString('latin1', at, end))
    at = end + 1
  }
  return strings
}

/** As much of a name as the server looks at (NAMEDATALEN - 1). */
export function nameKey(name: string): string {
  return name.slice(0, 63)
}
