import manifest from '../package.json' with { type: 'json' }

/** Version of Portcullis, on every event. */
export const { version } = manifest
