// Values -> what is shown of them, and the bytes of answers rewritten so. Pure: it opens no socket and reads no clock.
// Refuses to decide what is to be masked: that is the policy's, and the gate's.
export type { MaskForm, MaskMethod } from '@portcullis/kernel'
export type { Detect, Span } from './detect.ts'
export { createKeyed, type Keyed } from './keyed.ts'
