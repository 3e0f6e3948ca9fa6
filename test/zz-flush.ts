import { startStores } from "./support/stores.ts"
import { startLedger } from "./support/ledger.ts"
import { chargeOf } from "./support/details.ts"
import { fen } from "../src/money.ts"
const N = Number(process.argv[2] ?? 200_000), A = Number(process.argv[3] ?? 1000)
const stores = await startStores()
const t = await startLedger(stores, { flusher: false })
const ids = []
for (let i = 0; i < A; i++) ids.push(await t.openAccount({ balanceFen: 1_000_000 }))
const t0 = performance.now()
let left = N
await Promise.all(Array.from({ length: 512 }, async (_, w) => {
  for (;;) { const k = left--; if (k <= 0) return
    const o = await t.ledger.charge(chargeOf({ accountId: ids[(k * 7) % A]!, amountFen: fen(1), details: "key_0123456789abcdef\x1fuser.login\x1f1\x1freq_012345678912\x1f" }))
    if (o.status !== "accepted") throw new Error(o.status) }
}))
console.log("charged", Math.round(N / (performance.now() - t0) * 1000), "/s")
const pgCpu = async () => { let sum = 0; const pids = (await Bun.$`pgrep postgres`.text()).trim().split("\n"); for (const p of pids) { try { const f = (await Bun.file(`/proc/${p}/stat`).text()).split(") ")[1]!.split(" "); sum += Number(f[11]) + Number(f[12]) } catch {} } return sum * 10 }
const c0 = process.cpuUsage(), p0 = await pgCpu(), f0 = performance.now()
const f = await t.startFlusher()
for (;;) { const [r] = await stores.sql`select sum(records)::int as n from partitions`; if (r!.n >= N) break; await Bun.sleep(50) }
const ms = performance.now() - f0, c = process.cpuUsage(c0)
console.log("flushed", Math.round(N / ms * 1000), "/s  flusher us", ((c.user + c.system) / N).toFixed(1), "pg us", ((await pgCpu() - p0) * 1000 / N).toFixed(1))
await t.books()
await f.stop(); await t.stop(); await stores.stop(); process.exit(0)
