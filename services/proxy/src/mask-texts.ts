/**
 * The texts of commands as they are recorded, with what a detector finds in them masked, and by the rules that mask a
 * command's answers. Refuses to touch anything else: a command runs, is judged and is told from others by the text that was
 * sent.
 */
import type { Analysis, ContentSearch, Detect, Intent, MaskPlan, Recorder } from '@portcullis/kernel'
import { createDetect } from '@portcullis/masking'
import { withoutLiterals } from '@portcullis/sql'

export interface MaskText extends ContentSearch {
  /** Also what the rules that mask its answers mean. */
  readonly rules: boolean
}

/** The same recorder, whose texts are masked. The kinds and how many of each stand among the attributes, as `text.masked`. */
export function maskTexts(recorder: Recorder, options: MaskText): Recorder {
  const masked = createTextMask(options)
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

const noPlan = {}

function createTextMask({ rules, ...search }: MaskText): (intent: Intent) => Intent {
  const detect = createDetect(search)
  // By the analysis, which serves every execution of its text: the recorder tells texts apart by it too.
  const known = new WeakMap<Analysis, WeakMap<object, MaskedText | 'as it is'>>()

  function look({ text }: Analysis, mask: MaskPlan | undefined): { text: string; counts: object } {
    if (mask?.literals) {
      const bytes = Buffer.from(text)
      return { text: withoutLiterals(bytes, 0, bytes.length), counts: { literals: true } }
    }
    const counts: Record<string, number> = {}
    const once = named(text, detect, counts)
    return { text: mask?.content ? named(once, mask.content.detect, counts) : once, counts }
  }

  return (intent) => {
    const { analysis } = intent
    const mask = rules ? intent.mask : undefined
    const byPlan = known.get(analysis) ?? new WeakMap<object, MaskedText | 'as it is'>()
    known.set(analysis, byPlan)
    let masked = byPlan.get(mask ?? noPlan)
    if (masked === undefined) {
      const { text, counts } = look(analysis, mask)
      masked =
        text === analysis.text
          ? 'as it is'
          : { analysis: { ...analysis, text }, counts: JSON.stringify(counts) }
      byPlan.set(mask ?? noPlan, masked)
    }
    if (masked === 'as it is') return intent
    const attributes = { ...intent.attributes, 'text.masked': masked.counts }
    return { ...intent, analysis: masked.analysis, attributes }
  }
}

/** The text with each find's kind in its place. */
function named(text: string, detect: Detect, counts: Record<string, number>): string {
  const bytes = Buffer.from(text)
  let shown = ''
  let at = 0
  for (const { kind, start, end } of detect(bytes, 0, bytes.length)) {
    shown += `${bytes.toString('utf8', at, start)}[${kind}]`
    counts[kind] = (counts[kind] ?? 0) + 1
    at = end
  }
  return at === 0 ? text : shown + bytes.toString('utf8', at)
}
