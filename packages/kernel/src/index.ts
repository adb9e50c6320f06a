export * from './budget.ts'
export * from './bus.ts'
export * from './clock.ts'
export * from './command.ts'
export * from './control.ts'
export { checkChange } from './control-change.ts'
export * from './control-snapshot.ts'
export * from './decision.ts'
export * from './detector.ts'
export * from './errors.ts'
export type {
  BaselineEvent,
  CommandEvent,
  ControlEvent,
  FindingEvent,
  RecordingEvent,
  SessionEvent,
  Severity,
  VerdictEvent,
} from './events.gen.ts'
export * from './identity.ts'
export * from './protocol.ts'
export * from './recorder.ts'
export * from './sink.ts'
export * from './started.ts'
export * from './verdict.ts'
