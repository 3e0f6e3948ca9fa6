import { writeFileSync } from "node:fs"
import { seedAccounts, seeded } from "./seed.ts"
import { startSystem } from "./system.ts"

const sys = await startSystem({ gateways: 1, log: () => {} })
const accounts = await seedAccounts(sys.sql, { count: 1000, creditFen: 1_000_000 })
await seeded(sys)
const lua = `local keys = {${accounts.map((a) => `"${a.key}"`).join(",")}}
local n = math.random(1000)
request = function() n = n % #keys + 1
 return wrk.format("POST", nil, {["authorization"]="Bearer "..keys[n],["content-type"]="application/json"}, '{"interface":"user.login"}') end
function setup(thread) thread:set("seed", 1) end
function init() math.randomseed(os.time()) end`
writeFileSync("/tmp/ab/gw.lua", lua)
let g: { url: string; pid: number } = sys.gateways[0]!
async function spawnWith(extra: Record<string, string>, args: string[] = []) {
  const env = Object.fromEntries(
    (await Bun.file(`/proc/${sys.gateways[0]!.pid}/environ`).text())
      .split("\0")
      .filter(Boolean)
      .map((l) => [l.slice(0, l.indexOf("=")), l.slice(l.indexOf("=") + 1)]),
  )
  const port = String(20000 + Math.floor(Math.random() * 9000))
  const child = Bun.spawn([process.execPath, ...args, "bench/gateway.ts"], {
    env: { ...env, ...extra, PORT: port },
    stdout: "ignore",
    stderr: "inherit",
  })
  for (let i = 0; i < 100; i++) {
    await Bun.sleep(50)
    if ((await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null))?.ok) break
  }
  return { url: `http://127.0.0.1:${port}`, pid: child.pid, child }
}
const cpu = async (pid: number) => {
  const f = (await Bun.file(`/proc/${pid}/stat`).text()).split(") ")[1]!.split(" ")
  return (Number(f[11]) + Number(f[12])) * 10000
}
const conns = process.argv[2] ?? "64"
async function wrk(path: string, secs: number, c = conns) {
  const c0 = await cpu(g.pid)
  const out = await Bun.$`wrk -t1 -c${c} -d${secs}s -s /tmp/ab/gw.lua ${g.url}${path}`.text()
  const n = Number(/(\d+) requests in/.exec(out)![1])
  return {
    path,
    n,
    rps: Math.round(n / secs),
    us: (((await cpu(g.pid)) - c0) / n).toFixed(1),
    bad: /Non-2xx.*/.exec(out)?.[0],
  }
}
if (process.argv[3] === "prof") {
  const x = await spawnWith({}, ["--cpu-prof", "--cpu-prof-dir=/tmp/ab/prof"])
  g = x
  await wrk("/v1/charges", 2)
  await wrk("/v1/charges", 6)
  process.kill(x.pid, "SIGTERM")
  await x.child.exited
} else if (process.argv[3] === "env") {
  const variants: [string, Record<string, string>, string[]][] = [
    ["plain", {}, []],
    ["purge1000", { MIMALLOC_PURGE_DELAY: "1000" }, []],
    ["noscav", { MIMALLOC_PURGE_DELAY: "-1", BUN_JSC_forceRAMSize: "34359738368" }, []],
    ["eden", { BUN_JSC_minEdenToOldGenerationRatio: "2", BUN_JSC_largeHeapSize: "134217728" }, []],
  ]
  const gs = []
  for (const [name, extra, args] of variants) gs.push({ name, ...(await spawnWith(extra, args)) })
  for (const x of gs) {
    g = x
    await wrk("/bench/unbilled", 1)
    await wrk("/v1/charges", 2)
  }
  for (let i = 0; i < 3; i++)
    for (const x of gs) {
      g = x
      const u = await wrk("/bench/unbilled", 2),
        c = await wrk("/v1/charges", 3)
      console.log(x.name.padEnd(12), u.us, u.rps, c.us, c.rps, c.bad ?? "")
    }
  for (const x of gs) x.child.kill()
} else {
  await wrk("/bench/unbilled", 2)
  await wrk("/v1/charges", 3)
  for (let i = 0; i < 3; i++) {
    console.log(await wrk("/bench/unbilled", 3))
    console.log(await wrk("/v1/charges", 3))
  }
}
if (process.argv[3] === "strace")
  for (const p of ["/bench/unbilled", "/v1/charges"]) {
    const run = wrk(p, 5)
    const st = Bun.$`timeout -s INT 3 strace -c -f -p ${g.pid}`.nothrow().quiet()
    const o = await st
    console.log(p, o.stderr.toString().split("\n").slice(0, 16).join("\n"))
    console.log(await run)
  }
if (process.argv[3] === "perf")
  for (const p of ["/bench/unbilled", "/v1/charges"]) {
    const run = wrk(p, 5)
    await Bun.$`perf record -o /tmp/ab/perf-${p.split("/").pop()}.data -g -p ${g.pid} -- sleep 3`
      .nothrow()
      .quiet()
    console.log(await run)
  }
await sys.stop()
process.exit(0)
