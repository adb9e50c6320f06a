/** Makes a found script small: whatever can go while the same fault stays goes, steps first, then messages within them. */
import { MessageReader } from './messages.ts'
import type { Script, Step } from './script.ts'

/** `fails` plays a script and says whether it still goes wrong in the same way. */
export async function shrink(script: Script, fails: (script: Script) => Promise<boolean>): Promise<Script> {
  const steps = await fewer([...script.steps], (left) => fails({ ...script, steps: left }))
  let small: Script = { ...script, steps }
  for (let at = 0; at < small.steps.length; at++) {
    const step = small.steps[at] as Step
    const key = 'client' in step ? 'client' : 'server' in step ? 'server' : undefined
    if (!key) continue
    const reader = new MessageReader()
    const bytes = Buffer.from('client' in step ? step.client : 'server' in step ? step.server : '', 'hex')
    const messages = reader.read(bytes).map((message) => message.bytes)
    const before = small
    const withThese = (left: readonly Buffer[]): Script => {
      const joined = Buffer.concat([...left, reader.partial]).toString('hex')
      return {
        ...before,
        steps: before.steps.with(at, key === 'client' ? { client: joined } : { server: joined }),
      }
    }
    const left = await fewer(messages, (some) => fails(withThese(some)))
    small = withThese(left)
  }
  return { ...small, frames: small.steps.length }
}

/** Drops runs of items, long ones first, as long as the rest still fails. */
async function fewer<T>(
  items: readonly T[],
  fails: (items: readonly T[]) => Promise<boolean>,
): Promise<readonly T[]> {
  let left = items
  for (let size = Math.ceil(items.length / 2); size >= 1; size = size === 1 ? 0 : Math.floor(size / 2)) {
    for (let at = 0; at < left.length; ) {
      const without = left.toSpliced(at, size)
      if (await fails(without)) left = without
      else at += size
    }
  }
  return left
}
