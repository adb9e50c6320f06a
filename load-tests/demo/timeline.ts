/**
 * What happened and when, as it is seen from outside: events read from the bus, errors that a client got, messages that
 * Slack got. It prints each moment once, and keeps what the final figures are computed from. It makes nothing up.
 */
import {
  type Bus,
  type CommandEvent,
  type FindingEvent,
  type Started,
  topics,
  type VerdictEvent,
} from '@portcullis/kernel'
import type { Codecs } from '@portcullis/platform/codec'

export interface Refused {
  readonly atUs: number
  readonly code: string
  readonly message: string
  readonly detail: string
  readonly hint: string
}

export interface Timeline {
  say(what: string, text: string): void
  readonly findings: FindingEvent[]
  readonly verdicts: VerdictEvent[]
  readonly alerts: { readonly atUs: number; readonly text: string }[]
  /** Commands of one identity that finished, in the order of the bus. */
  commandsOf(subject: string): readonly CommandEvent[]
  alert(text: string): void
}

export function nowUs(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1000)
}

export function createTimeline(): Timeline & { follow(bus: Bus, codecs: Codecs): Promise<Started<void>> } {
  const startUs = nowUs()
  const findings: FindingEvent[] = []
  const verdicts: VerdictEvent[] = []
  const alerts: { atUs: number; text: string }[] = []
  const commands = new Map<string, CommandEvent[]>()
  const say = (what: string, text: string) => {
    const seconds = ((nowUs() - startUs) / 1e6).toFixed(2).padStart(7)
    console.log(`${seconds} s  ${what.padEnd(9)} ${text}`)
  }
  return {
    say,
    findings,
    verdicts,
    alerts,
    commandsOf: (subject) => commands.get(subject) ?? [],
    alert(text) {
      alerts.push({ atUs: nowUs(), text })
      say('alert', `Slack: ${text}`)
    },
    /** From now on: what lies on the bus already was said by nobody live. */
    follow: (bus, codecs) =>
      bus.tail({
        topics: [topics.commands, topics.findings, topics.verdicts],
        from: 'latest',
        onBatch(records) {
          for (const { topic, value } of records) {
            if (value === null) continue
            if (topic === topics.commands) {
              const command = codecs.command.decode(value)
              const { subject } = command.identity
              if (command.phase === 'finished')
                commands.set(subject, [...(commands.get(subject) ?? []), command])
            } else if (topic === topics.findings) {
              const finding = codecs.finding.decode(value)
              findings.push(finding)
              say(
                'finding',
                `${finding.feature} of ${finding.identity.subject} (score ${finding.score}): ${finding.explanation}`,
              )
            } else {
              const verdict = codecs.verdict.decode(value)
              verdicts.push(verdict)
              const minutes = Math.round((verdict.until - verdict.issuedAt) / 60e6)
              say('verdict', `${verdict.action} ${verdict.subject.id} for ${minutes} min: ${verdict.reason}`)
            }
          }
        },
      }),
  }
}
