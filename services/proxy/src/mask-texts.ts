/**
 * The texts of commands as they are recorded, with what a detector finds in them masked. Refuses to touch anything else: a
 * command runs, is judged and is told from others by the text that was sent.
 */
import type { Analysis, ContentSearch, Intent, Recorder } from '@portcullis/kernel'
import { createDetect } from '@portcullis/masking'

/** The same recorder, whose texts are masked. The kinds and how many of each stand among the attributes, as `text.masked`. */
export function maskTexts(recorder: Recorder, search: ContentSearch): Recorder {
  const masked = createTextMask(search)
  return {
    id: recorder.id,
    get available() {
      return recorder.available
    },
    session: (...args) => recorder.session(...args),
    intent: (intent) => recorder.intent(masked(intent)),
    redecided: (...args) => recorder.redecided(...args),
    progress: (...args) => recorder.progress(...args),
    outcome: (...args) => recorder.outcome(...args),
    sessionClosed: (...args) => recorder.sessionClosed(...args),
    commit: () => recorder.commit(),
  }
}

interface MaskedText {
  readonly analysis: Analysis
  /** JSON: how many of each kind. */
  readonly counts: string
}

function createTextMask(search: ContentSearch): (intent: Intent) => Intent {
  const detect = createDetect(search)
  // By the analysis, which serves every execution of its text: the recorder tells texts apart by it too.
  const known = new WeakMap<Analysis, MaskedText | 'as it is'>()

  function look(analysis: Analysis): MaskedText | 'as it is' {
    const bytes = Buffer.from(analysis.text)
    const spans = detect(bytes, 0, bytes.length)
    if (spans.length === 0) return 'as it is'
    const counts: Record<string, number> = {}
    let text = ''
    let at = 0
    for (const { kind, start, end } of spans) {
      text += `${bytes.toString('utf8', at, start)}[${kind}]`
      counts[kind] = (counts[kind] ?? 0) + 1
      at = end
    }
    text += bytes.toString('utf8', at)
    return { analysis: { ...analysis, text }, counts: JSON.stringify(counts) }
  }

  return (intent) => {
    const { analysis } = intent
    let masked = known.get(analysis)
    if (masked === undefined) {
      masked = look(analysis)
      known.set(analysis, masked)
    }
    if (masked === 'as it is') return intent
    const attributes = { ...intent.attributes, 'text.masked': masked.counts }
    return { ...intent, analysis: masked.analysis, attributes }
  }
}
