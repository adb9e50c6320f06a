export { ControlError, type ControlErrorCode } from './errors.ts'
export {
  type ControlLog,
  type ControlLogOptions,
  startControlLog,
  type Written,
  type WriteOptions,
} from './log.ts'
