/** A process that uses every token of a list from a place of its own, and says where it was told each was used first. */
import { systemClock } from '@portcullis/kernel'
import { openTokenUses } from './index.ts'

const [dir = '', place = '', count = '0'] = process.argv.slice(2)
const { value: uses, stop } = openTokenUses({ dir, clock: systemClock })
const firsts = Array.from({ length: Number(count) }, (_, i) => {
  const use = { place, address: place }
  return uses.note(`token-${i}`, use, systemClock.nowUs() + 60_000_000)[0]?.place
})
await stop()
process.stdout.write(JSON.stringify(firsts))
