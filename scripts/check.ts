/** `npm run check`: the checks alone, in seconds. */
import { runChecks } from './checks.ts'

const results = await runChecks(({ name, ok, output, durationMs }) => {
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${name} (${Math.round(durationMs)} ms)`)
  if (!ok) console.log(output)
})
const failed = results.filter(({ ok }) => !ok).length
console.log(`${results.length - failed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
