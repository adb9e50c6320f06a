/**
 * The process of the demo's issuer. Takes its orders from the parent that forked it, over IPC alone: the secret stands
 * in no argument, environment or file. Ends when told, or when the parent is gone; Ctrl-C in the terminal is the
 * parent's to handle.
 */
import { startDemoProvider } from './demo-idp-provider.ts'

/** Parent -> child. */
export type DemoIdpOrder =
  | { readonly type: 'start'; readonly dir: string; readonly port: number; readonly clientSecret: string }
  | { readonly type: 'stop' }
/** Child -> parent. */
export type DemoIdpNews =
  | { readonly type: 'started'; readonly issuer: string }
  | { readonly type: 'failed'; readonly why: string }
  | { readonly type: 'trouble'; readonly why: string }

if (process.send) main()

function main(): void {
  let stop: (() => Promise<void>) | undefined
  const tell = (news: DemoIdpNews) => {
    if (process.connected) process.send?.(news)
  }
  const leave = async (status: number) => {
    await stop?.()
    process.exit(status)
  }
  process.on('SIGINT', () => {})
  process.on('SIGTERM', () => void leave(0))
  process.on('disconnect', () => void leave(0))
  process.on('message', async (order: DemoIdpOrder) => {
    if (order.type === 'stop') return leave(0)
    try {
      const { dir, port, clientSecret } = order
      const started = await startDemoProvider({
        dir,
        port,
        clientSecret,
        onFailure: (why) => tell({ type: 'trouble', why }),
      })
      stop = started.stop
      tell({ type: 'started', issuer: started.value.issuer })
    } catch (error) {
      tell({ type: 'failed', why: error instanceof Error ? error.message : String(error) })
      await leave(1)
    }
  })
}
