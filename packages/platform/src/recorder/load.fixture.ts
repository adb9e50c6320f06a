/**
 * A proxy process as far as recording goes: two sessions with commands without pause, until it is killed. After each
 * commit that returned it notes the command ids in its own file, synchronously.
 * node load.fixture.ts RECORD_DIR NOTES_FILE SEGMENT_BYTES [disk]
 */
import { openSync, writeSync } from 'node:fs'
import { systemClock } from '@portcullis/kernel'
import { allow, analysisOf, intentOf, ok, sessionRecord } from './sample.fixture.ts'
import { createRecorder } from './writer.ts'

const [dir = '', notes = '', segmentBytes = '', durability] = process.argv.slice(2)
const fd = openSync(notes, 'a')
const { value: recorder } = createRecorder({
  dir,
  durability: durability === 'disk' ? 'disk' : 'process',
  bytesMax: 1 << 30,
  onUnavailable: 'deny',
  proxy: { name: 'p', version: '0' },
  clock: systemClock,
  segmentBytes: Number(segmentBytes),
})
const analyses = Array.from({ length: 20 }, (_, i) => analysisOf(`select ${i}`))
const sessions = ['a', 'b'].map((name) => `${recorder.id}-${name}`)
for (const sessionId of sessions) recorder.session(sessionRecord(sessionId), 'opened', allow, '')
await recorder.commit()

for (let number = 1; ; number++) {
  for (const sessionId of sessions) {
    recorder.intent(intentOf(sessionId, number, analyses[number % 20] ?? analysisOf('')))
    await recorder.commit()
    writeSync(fd, `${sessionId}.${number}\n`)
    if (number % 50 === 0)
      recorder.progress(sessionId, number, intentOf(sessionId, number, analysisOf('')).startedAt, ok)
    if (number % 9 !== 0) recorder.outcome(sessionId, number, 1_700_000_001_000_000, ok)
  }
  if (number % 4 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
}
