import { expect, setDefaultTimeout, test } from "bun:test"
import { streamKey } from "../../src/ledger/keys.ts"
import { TAIL_MS } from "../../src/limits.ts"
import { eventually } from "../support/eventually.ts"
import { chargeMany } from "../support/flushing.ts"
import { withLedger } from "../support/ledger.ts"

setDefaultTimeout(30_000)

test("of a generation that is over nothing stays in Redis but its stream, for as long as the tail", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    await chargeMany(t, accountId, 3)
    await t.books()
    await t.redis.del("{p0}:meta")
    await t.redis.script("FLUSH")
    await chargeMany(t, accountId, 1)
    const stream = streamKey(0, 1)
    await eventually(async () => expect(await t.redis.keys("{p0}:1:*")).toEqual([stream]))
    const leftMs = await t.redis.pttl(stream)
    expect(leftMs > 0 && leftMs <= TAIL_MS).toBe(true)
  })
})
