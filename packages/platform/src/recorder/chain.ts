/**
 * The hash chain over one recorder's events: each carries the hash of the one before, so that a missing, added or
 * altered event shows wherever the trail ends up. Refuses to say who altered it.
 */
import type { CommandEvent, SessionEvent } from '@portcullis/kernel'
import { type Codecs, linkHash } from '../codec.ts'
import type { Draft } from './fold.ts'

export const firstHash: Buffer = Buffer.alloc(32)

export type LinkedEvent =
  | { readonly kind: 'session'; readonly event: SessionEvent }
  | { readonly kind: 'command'; readonly event: CommandEvent }

/** Fills in the draft's place in the chain and returns the event's bytes with the hash that the next one carries. */
export function linkDraft(
  draft: Draft,
  prevHash: Buffer,
  codecs: Pick<Codecs, 'session' | 'command'>,
): { value: Buffer; hash: Buffer } {
  return draft.kind === 'session'
    ? codecs.session.seal(draft.event, prevHash)
    : codecs.command.seal(draft.event, prevHash)
}

export type ChainFault = {
  readonly recorder: string
  readonly seq: number
  readonly fault: 'missing before' | 'doubled' | 'altered' | 'does not follow'
}

/**
 * What is wrong with a set of events of any number of recorders, in any order; empty where nothing is. A recorder's
 * first known event need not be its number 1 (retention may have removed what came before), unless `fromStart`.
 */
export function verifyChain(
  events: Iterable<LinkedEvent>,
  codecs: Pick<Codecs, 'session' | 'command'>,
  options: { readonly fromStart: boolean } = { fromStart: true },
): ChainFault[] {
  const faults: ChainFault[] = []
  for (const [recorder, chain] of byRecorder(events)) {
    let seq = options.fromStart ? 0 : undefined
    let prevHash: Uint8Array | undefined = options.fromStart ? firstHash : undefined
    for (const linked of chain) {
      const { link } = linked.event
      const report = (fault: ChainFault['fault']) => faults.push({ recorder, seq: link.seq, fault })
      if (seq !== undefined && link.seq === seq) report('doubled')
      else if (seq !== undefined && link.seq > seq + 1) report('missing before')
      else if (prevHash && !Buffer.from(link.prevHash).equals(prevHash)) report('does not follow')
      const hash =
        linked.kind === 'session'
          ? linkHash(link.prevHash, codecs.session, linked.event)
          : linkHash(link.prevHash, codecs.command, linked.event)
      if (!hash.equals(link.hash)) report('altered')
      seq = link.seq
      prevHash = link.hash
    }
  }
  return faults
}

function byRecorder(events: Iterable<LinkedEvent>): Map<string, LinkedEvent[]> {
  const chains = new Map<string, LinkedEvent[]>()
  for (const linked of events) {
    const { recorder } = linked.event.link
    const chain = chains.get(recorder)
    if (chain) chain.push(linked)
    else chains.set(recorder, [linked])
  }
  for (const chain of chains.values()) chain.sort((a, b) => a.event.link.seq - b.event.link.seq)
  return chains
}
