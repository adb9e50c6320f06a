/** Microseconds since 1970 UTC, to ISO 8601 and back without losing the last three digits, which Date does not hold. */

/** `2026-11-22T10:00:00.123456Z`. */
export function isoMicros(us: number): string {
  const iso = new Date(Math.floor(us / 1000)).toISOString()
  return `${iso.slice(0, -1)}${String(((us % 1000) + 1000) % 1000).padStart(3, '0')}Z`
}

/** Undefined where the text is no date and time with a zone; up to six digits of a second. */
export function parseIsoMicros(text: string): number | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(Z|[+-]\d\d:\d\d)$/.exec(text)
  if (!match) return undefined
  const [, seconds = '', fraction = '', zone = ''] = match
  const ms = Date.parse(`${seconds}${zone}`)
  return Number.isNaN(ms) ? undefined : ms * 1000 + Number(fraction.padEnd(6, '0'))
}

/** Null where events say 0: there is no such time. */
export function isoMicrosOrNull(us: number): string | null {
  return us === 0 ? null : isoMicros(us)
}
