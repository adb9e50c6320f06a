/** The local log of what the gate decided, and its way to the bus. */
export { type ChainFault, type LinkedEvent, verifyChain } from './chain.ts'
export { RecorderError, type RecorderErrorCode } from './error.ts'
export { createRecorder, type LocalRecorder, type RecorderOptions, type RecorderStats } from './writer.ts'
export type { ShipLog } from './ship-recorder.ts'
export { createShipper, type Shipper, type ShipperOptions, type ShipperStats } from './shipper.ts'
