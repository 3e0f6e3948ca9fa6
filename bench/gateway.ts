import { Type } from "@sinclair/typebox"
import { Elysia } from "elysia"
import { readConfig } from "../src/config.ts"
import { startGateway } from "../src/gateway/process.ts"
import { jsonBody } from "../src/http/body.ts"
import { DESCRIPTION_CHARS_MAX, QUANTITY_MAX } from "../src/limits.ts"
import { stopRequested } from "../src/signals.ts"

/**
 * The product's gateway process, and one route that only the benchmark has: it takes the same
 * request as a charge, reads the same header, waits one turn of the event loop and answers. What a
 * charge costs above it is what billing costs.
 */

const body = Type.Object(
  {
    interface: Type.String({ minLength: 1, maxLength: 64 }),
    quantity: Type.Optional(Type.Integer({ minimum: 1, maximum: QUANTITY_MAX })),
    description: Type.Optional(
      Type.String({ maxLength: DESCRIPTION_CHARS_MAX, pattern: "^[^\\u0000-\\u001f\\u007f]*$" }),
    ),
  },
  { additionalProperties: false },
)

const unbilled = new Elysia({ normalize: false }).post(
  "/bench/unbilled",
  async ({ request }) => {
    const isKeyed = request.headers.get("authorization") !== null
    await new Promise(setImmediate)
    return { isKeyed }
  },
  { parse: jsonBody, body },
)

const config = readConfig(process.env)
if (config.stores === null)
  throw new Error("REDIS_URL and DATABASE_URL are needed: run bench/run.ts")
const stopping = stopRequested()
const gateway = await startGateway(config, config.stores, { plugins: [unbilled] })
await stopping
await gateway.stop()
process.exit(0)
