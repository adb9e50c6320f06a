export * from './condition.ts'
export * from './expression.ts'
export * from './pattern.ts'
