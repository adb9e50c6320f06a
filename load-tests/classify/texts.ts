/** Statements of the lengths that are measured, and how a call is timed: for classify.ts and postgres/classification.ts. */
import { threadCpuUs } from '@portcullis/testkit/thread-cpu'

export const texts = {
  56: 'select abalance from pgbench_accounts where aid = 10042;',
  150: "select o.id, o.total, u.name from app.orders o join app.users u on u.id = o.user_id where o.placed > '2026-01-01' and u.country = 'DE' order by o.id limit 50",
  350: `select o.id, o.total, o.placed, u.name, u.email, count(i.id) as items, sum(i.price * i.amount) as worth from app.orders o join app.users u on u.id = o.user_id left join app.items i on i.order_id = o.id where o.placed between '2026-01-01' and '2026-02-01' and u.country in ('DE', 'FR', 'IT') group by o.id, u.id order by worth desc limit 50`,
} as const

/** CPU time of this thread, median of nine runs: other work on the machine shows less than on the clock. */
export function perCallUs(calls: number, call: () => void): number {
  const runs: number[] = []
  for (let run = 0; run < 9; run += 1) {
    const each = Math.ceil(calls / 9)
    const sinceUs = threadCpuUs()
    for (let at = 0; at < each; at += 1) call()
    runs.push((threadCpuUs() - sinceUs) / each)
  }
  return runs.sort((left, right) => left - right)[4] ?? 0
}
