/** Something that runs. `stop` drains: what was accepted is finished, what is held is let go, and then it resolves. */
export type Started<T> = { value: T; stop(): Promise<void> }
