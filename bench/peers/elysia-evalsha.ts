import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Redis } from "ioredis"
import { createPeerApp } from "./app.ts"
import { setting } from "./setting.ts"

/**
 * The build that comes to mind first: Elysia, ioredis, and one EVALSHA for each call. One connection
 * for all, as ioredis's README has it, with the script loaded once. PEER_MODE=pipelined: ioredis
 * puts the calls of one turn of the event loop into one write, which its README offers.
 */

const redis = new Redis(setting("REDIS_URL"), {
  enableAutoPipelining: setting("PEER_MODE") === "pipelined",
})
const text = readFileSync(join(import.meta.dir, "charge.lua"), "utf8")
const sha = String(await redis.script("LOAD", text))

createPeerApp(async ({ account, amountFen, interface: name, quantity, requestId, description }) => {
  const args = [amountFen, account.keyId, name, quantity, requestId, description]
  const [after, number, id] = await decide(`account:${account.id}`, args)
  if (after === null) return { status: "insufficient_balance", balanceFen: Number(number) }
  const at = new Date(Number.parseInt(id ?? "", 10))
  return { status: "accepted", balanceFen: Number(after), seq: Number(number), at }
}).listen({ hostname: "127.0.0.1", port: Number(setting("PORT")) })

async function decide(account: string, args: readonly (string | number)[]) {
  const reply = await redis.evalsha(sha, 2, account, "changes", ...args)
  if (!Array.isArray(reply)) throw new TypeError("the script answered no list")
  const answer: (string | null)[] = reply
  return answer
}
