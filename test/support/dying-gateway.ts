import { connectSql } from "../../db/connection.ts"
import { parseAccountId } from "../../src/ids.ts"
import { createLedger } from "../../src/ledger/ledger.ts"
import { fen } from "../../src/money.ts"
import { chargeOf } from "./details.ts"
import { ready } from "./ledger.ts"

/** A gateway's ledger in a process of its own, to be killed: charges 4 fen a line that it is sent. */
const { REDIS_URL = "", DATABASE_URL = "", DATA_DIR = "", ACCOUNT_ID = "" } = process.env
const ledger = await createLedger({
  redisUrl: REDIS_URL,
  sql: connectSql(DATABASE_URL, { max: 2, applicationName: "dying gateway" }),
  dataDir: DATA_DIR,
  onBatch: () => undefined,
  log: (line) => process.stderr.write(`${line}\n`),
})
await ready(ledger)
process.stdout.write("ready\n")
for await (const _line of console) {
  const outcome = await ledger.charge(
    chargeOf({ accountId: parseAccountId(ACCOUNT_ID), amountFen: fen(4) }),
  )
  process.stdout.write(`${outcome.status}\n`)
}
