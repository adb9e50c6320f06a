/**
 * Ends the log of a recorder whose process is gone: each command without an outcome gets the outcome `unknown`, each
 * open session is closed, and an end is set. It never touches what the dead wrote: all of it stands in one frame of one
 * new segment, which appears under its name whole or not at all, so that a death in here changes nothing.
 */
import { fdatasyncSync, statSync } from 'node:fs'
import type { Analysis, Decision } from '@portcullis/kernel'
import { ByteWriter } from './bytes.ts'
import type { RecorderCard } from './directory.ts'
import { putEnd, putOutcome, putSessionClosed } from './encode.ts'
import type { SegmentFold } from './fold.ts'
import { type DecisionKind, formatVersion, sealFrame } from './format.ts'
import { createSegment, listSegments, segmentPath, syncDirectory } from './segment-file.ts'
import { ended, unknownResult } from './endings.ts'
import { type Dictionary, putSnapshot } from './snapshot.ts'

/**
 * `fold` has read everything that the dead recorder wrote; `seqNext` is the number of the next event, which is higher
 * than the fold's where the disk lost what the bus has.
 */
export function endDeadRecorder(dir: string, card: RecorderCard, fold: SegmentFold, seqNext: number): void {
  const last = listSegments(dir).at(-1) ?? 0
  const at = Math.max(
    fold.atMax(),
    last === 0 ? 0 : Math.round(statSync(segmentPath(dir, last)).mtimeMs * 1000),
  )
  const out = new ByteWriter(64 << 10)
  const open = fold.open()
  const head = {
    version: formatVersion,
    recorder: card.recorder,
    segment: last + 1,
    seqFirst: Math.max(seqNext, fold.seqNext()),
    proxy: card.proxy,
  }
  putSnapshot(out, head, open, plainDictionary())
  for (const { session, running, totals } of open) {
    for (const { intent } of running) putOutcome(out, session, intent.number, at, unknownResult)
    putSessionClosed(out, session, at, ended, 'the proxy process died', totals)
  }
  putEnd(out)
  sealFrame(out)
  const segment = createSegment(dir, last + 1)
  try {
    segment.append(out.buffer, out.at)
    fdatasyncSync(segment.fd)
    segment.enter()
    syncDirectory(dir)
  } finally {
    segment.close()
  }
}

function plainDictionary(): Dictionary {
  const statements = new Map<Analysis, number>()
  let last = 0
  return {
    statement(analysis, define) {
      const known = statements.get(analysis)
      if (known !== undefined) return known
      statements.set(analysis, ++last)
      define(last, analysis)
      return last
    },
    decision(
      { id: _id, delayUs: _delayUs, ...kind }: Decision,
      define: (number: number, kind: DecisionKind) => void,
    ) {
      define(++last, kind)
      return last
    },
  }
}
