import { startPostgres } from "../../src/embedded/postgres.ts"
import { startRedis } from "../../src/embedded/redis.ts"

/** Starts a store that a test wants to be left behind, says where, and waits to be killed. */
const [what, dir = ""] = process.argv.slice(2)
const { url, pid } =
  what === "redis" ? await startRedis({ dir }) : await startPostgres({ dir, password: "test" })
process.stdout.write(`${JSON.stringify({ url, pid })}\n`)
setInterval(() => {}, 60_000)
