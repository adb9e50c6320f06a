/**
 * What the supervisor says, and what its services write. A demo keeps all of it in files and shows a person only what
 * went wrong; a real configuration passes every JSON line on to stdout, where a collector reads it.
 */
import { closeSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'

export type SupervisorLog = {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  /** A line that a service wrote: JSON in pino's form, or anything. */
  line(service: string, text: string): void
  close(): void
}

const repeatMs = 10_000

type Level = 'debug' | 'info' | 'warn' | 'error'

export function logToStdout(): SupervisorLog {
  return build({
    write: (_, text) => process.stdout.write(`${text}\n`),
    show: () => undefined,
    close: () => undefined,
  })
}

/** One file a service under `folder`, each kept to two times `fileBytesMax`; warnings and errors also to `show`. */
export function logToFiles(
  folder: string,
  show: (text: string, level: 'warn' | 'error') => void,
  fileBytesMax = 16 * 1024 * 1024,
): SupervisorLog {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const files = new Map<string, { fd: number; bytes: number }>()
  const open = (service: string) => {
    const fd = openSync(join(folder, `${service}.log`), 'a', 0o600)
    const file = { fd, bytes: fstatSync(fd).size }
    files.set(service, file)
    return file
  }
  const write = (service: string, text: string) => {
    let file = files.get(service) ?? open(service)
    if (file.bytes > fileBytesMax) {
      closeSync(file.fd)
      renameSync(join(folder, `${service}.log`), join(folder, `${service}.1.log`))
      file = open(service)
    }
    file.bytes += writeSync(file.fd, `${text}\n`)
  }
  const close = () => {
    for (const { fd } of files.values()) closeSync(fd)
    files.clear()
  }
  return build({ write, show, close })
}

function build(sink: {
  write: (service: string, text: string) => void
  show: (text: string, level: 'warn' | 'error') => void
  close: () => void
}): SupervisorLog {
  const lately = new Map<string, number>()
  /** A part that fails again and again says the same each time: a person reads it once a while, the file has it all. */
  const show = (text: string, level: 'warn' | 'error') => {
    const nowMs = performance.now()
    if (nowMs - (lately.get(text) ?? Number.NEGATIVE_INFINITY) < repeatMs) return
    if (lately.size > 100) lately.clear()
    lately.set(text, nowMs)
    sink.show(text, level)
  }
  const own = (level: Level) => (fields: object, message: string) => {
    const time = new Date().toISOString()
    sink.write('all-in-one', JSON.stringify({ level, time, service: 'all-in-one', ...fields, msg: message }))
    if (level === 'warn' || level === 'error') show(`portcullis: ${message}`, level)
  }
  return {
    debug: own('debug'),
    info: own('info'),
    warn: own('warn'),
    error: own('error'),
    line: (service, text) => {
      sink.write(service, text)
      const trouble = troubleIn(text)
      if (trouble) show(`${service}: ${trouble}`, trouble.startsWith('warn') ? 'warn' : 'error')
    },
    close: sink.close,
  }
}

/** What a person should see of a service's line: warnings, errors, and what is no log line, without its stack trace. */
export function troubleIn(text: string): string | undefined {
  let line: { level?: unknown; msg?: unknown; why?: unknown; err?: { message?: unknown } }
  try {
    line = JSON.parse(text)
  } catch {
    return /^[\s}]|^Node\.js v|^$/.test(text) ? undefined : text
  }
  if (!['warn', 'error', 'fatal'].includes(String(line.level))) return undefined
  const why = line.err?.message ?? line.why
  const cause = why === undefined ? '' : `: ${String(why)}`
  return `${String(line.level)}: ${String(line.msg)}${cause}`
}
