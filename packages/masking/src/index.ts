// Values -> what is shown of them, and the bytes of answers rewritten so. Pure: it opens no socket and reads no clock.
// Refuses to decide what is to be masked: that is the policy's, and the gate's.
export { createCopyMasker } from './copy.ts'
export { contentForm } from './detect/content.ts'
export { createDetect } from './detect/detection.ts'
export { MaskingError, type MaskingErrorCode } from './errors.ts'
export { formOf } from './forms.ts'
export { createKeyed, type Keyed } from './keyed.ts'
export { createMasks, type MaskRule, type Masks, type Unmaskable } from './plan.ts'
export { createRowMasker, type MaskedColumn, type ResultMasker } from './rows.ts'
