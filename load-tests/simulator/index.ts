/** A fleet of simulated agents: benign lives and attacks, as command events. Pure; deterministic in its seed. */
export * from './agents.ts'
export * from './events.ts'
export * from './hostile.ts'
export * from './live.ts'
export * from './random.ts'
