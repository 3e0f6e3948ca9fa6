import { Elysia } from "elysia"
import { readConfig } from "../src/config.ts"
import { ChargeRequestBody } from "../src/gateway/model.ts"
import { startGateway } from "../src/gateway/process.ts"
import { jsonBody } from "../src/http/body.ts"
import { stopRequested } from "../src/signals.ts"

/**
 * The product's gateway process, and one route that only the benchmark has: it takes the same
 * request as a charge, reads the same header, waits one turn of the event loop and answers. What a
 * charge costs above it is what billing costs.
 */

const unbilled = new Elysia({ normalize: false }).post(
  "/bench/unbilled",
  async ({ request }) => {
    const isKeyed = request.headers.get("authorization") !== null
    await new Promise(setImmediate)
    return { isKeyed }
  },
  { parse: jsonBody, body: ChargeRequestBody },
)

const config = readConfig(process.env)
if (config.stores === null)
  throw new Error("REDIS_URL and DATABASE_URL are needed: run bench/run.ts")
const stopping = stopRequested()
const gateway = await startGateway(config, config.stores, { plugins: [unbilled] })
await stopping
await gateway.stop()
process.exit(0)
