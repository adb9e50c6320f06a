/**
 * The agent's parts about control state, wired to each other: what the logs say goes to the workers, what the workers ask of
 * people goes to the log. It opens no bus.
 */
import { type Bus, type Clock, type Holdings, type Started, topics } from '@portcullis/kernel'
import type { Codecs } from '@portcullis/platform/codec'
import { createDesk, type DeskOptions, markOf } from './approvals.ts'
import { createFollower, type Follower, type FollowerLog } from './follower.ts'
import type { WorkerHoldings } from './protocol.ts'
import { type AgentServer, startServer } from './server.ts'

export interface ControlPartsOptions extends Pick<DeskOptions, 'ids' | 'name' | 'limits'> {
  readonly clock: Clock
  readonly codecs: Pick<Codecs, 'control' | 'verdict'>
  readonly publish: Bus['publish']
  /** Where the folded state is kept. */
  readonly dir: string
  readonly socketPath: string
  readonly forWorkers: (holdings: Holdings) => WorkerHoldings
  onWorkers(): void
  readonly log: FollowerLog
}

/** Serves what was stored until the follower is attached to a bus. Only the holder of the directory's agent lock may call it. */
export async function startControlParts(options: ControlPartsOptions): Promise<Started<Follower>> {
  const { codecs, clock, forWorkers, log } = options
  let server: Started<AgentServer> | undefined
  const follower = createFollower({
    dir: options.dir,
    decoders: { verdict: codecs.verdict.decode, control: codecs.control.decode },
    clock,
    log,
    onChange: (set, removed) => server?.value.changed(set, removed),
    onHoldings: (holdings) => server?.value.holdingsChanged(forWorkers(holdings)),
    onApprovals: (changed) => server?.value.approvalsChanged(changed.map(markOf)),
    onControl: (event, rejection) => desk.evolved(event, rejection),
  })
  const { standing, holdings, approvals, isFresh, freshAtUs } = follower.value
  const desk = createDesk({
    ...{ clock, ids: options.ids, name: options.name, limits: options.limits, approvals, isFresh, log },
    publish: async (event) =>
      options.publish([
        { topic: topics.control, key: event.aggregateId, value: codecs.control.encode(event) },
      ]),
  })
  server = await startServer({
    socketPath: options.socketPath,
    verdicts: standing,
    holdings: () => forWorkers(holdings()),
    approvals: () => Array.from(approvals(), markOf),
    freshAtUs,
    take: desk.take,
    gone: desk.gone,
    onWorkers: options.onWorkers,
  })
  return {
    value: follower.value,
    async stop() {
      await server?.stop()
      await follower.stop()
    },
  }
}
