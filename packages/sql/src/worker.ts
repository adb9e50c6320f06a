// The thread's own side of worker-road.ts: one analyzer without a cache, one answer for each request.
import { parentPort, workerData } from 'node:worker_threads'
import { createSqlAnalyzer } from './analyzer.ts'
import { cpuMsOf, ownThread, yieldToOthers } from './own-thread.ts'
import type { WorkerAnswer, WorkerRequest } from './worker-road.ts'

yieldToOthers()
const thread = ownThread()
const analyzer = await createSqlAnalyzer({
  cacheEntries: 0,
  cacheBytesMax: 0,
  syncBytesMax: Number.POSITIVE_INFINITY,
  keepsTrees: true,
  parseBytesMax: workerData.parseBytesMax,
})
const answer = (message: WorkerAnswer): void => parentPort?.postMessage(message)

parentPort?.on('message', ({ sql, reading }: WorkerRequest) => {
  answer({ analyses: analyzer.analyzeNow(sql, 0, sql.length, reading), cpuMs: cpuMsOf(thread) })
})
answer({ thread, cpuMs: cpuMsOf(thread) })
