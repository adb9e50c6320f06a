/** Why the engine's directory could not be opened, in words that say what to do. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface OpenFailure {
  readonly code: 'engine_unsupported' | 'engine_locked' | 'engine_failed'
  readonly message: string
}

/** From what chdb threw (it does not say that another process holds the directory). */
export function openFailure(dataDir: string, cause: unknown): OpenFailure {
  const message = cause instanceof Error ? cause.message : String(cause)
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  if (
    code === 'MODULE_NOT_FOUND' ||
    code === 'ERR_DLOPEN_FAILED' ||
    /Cannot find module|libchdb|\.node\b/.test(message)
  )
    return {
      code: 'engine_unsupported',
      message: `The embedded ClickHouse engine (npm chdb) does not run on ${process.platform}-${process.arch} here: it needs Linux with glibc, or macOS. Set audit.url to a ClickHouse server instead. (${message.split('\n')[0]})`,
    }
  const holder = holderOf(dataDir)
  if (holder !== undefined)
    return {
      code: 'engine_locked',
      message: `${dataDir} is held by process ${holder}: one engine a directory. Stop that process, or give this one another directory.`,
    }
  return { code: 'engine_failed', message: `${dataDir} cannot be opened: ${message}` }
}

/**
 * The engine locks `status` in its directory (the kernel lets the lock go when the process dies, however it dies) and
 * writes its process id there. Undefined where that process is gone, so that something else is wrong.
 */
function holderOf(dataDir: string): number | undefined {
  const pid = Number(/^PID: (\d+)/m.exec(readStatus(dataDir))?.[1])
  if (!Number.isSafeInteger(pid) || pid === process.pid) return undefined
  try {
    process.kill(pid, 0)
    return pid
  } catch (cause) {
    // EPERM: it lives, as somebody else's.
    return cause instanceof Error && 'code' in cause && cause.code === 'EPERM' ? pid : undefined
  }
}

function readStatus(dataDir: string): string {
  try {
    return readFileSync(join(dataDir, 'status'), 'utf8')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return ''
    throw cause
  }
}
