import { readConfig } from "../../src/config.ts"
import { createLog } from "../../src/log.ts"
import { startKeeper } from "../../src/recovery/keeper.ts"
import { stopRequested } from "../../src/signals.ts"

/** The keeper in a process of its own, so that it can be killed and frozen: the supervisor runs it else. */
const { stores, partitions } = readConfig(process.env)
if (stores === null) throw new Error("the keeper needs REDIS_URL and DATABASE_URL")
const stopping = stopRequested()
const keeper = await startKeeper({ ...stores, partitions, log: createLog("keeper") })
await stopping
await keeper.stop()
process.exit(0)
