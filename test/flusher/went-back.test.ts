import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import type { FlushPlace } from "../../src/flusher/compose.ts"
import { type FlushRecord, startFlusher } from "../../src/flusher/flusher.ts"
import { oneNode } from "../../src/ledger/cluster.ts"
import { createOpenings } from "../../src/ledger/opening.ts"
import { eventually } from "../support/eventually.ts"
import { GENESIS, type Scripts, startScripts } from "../support/scripts.ts"

setDefaultTimeout(30_000)

/** A store that was put back to an earlier moment is for the keeper: the flusher waits, and is not halted. */

let s: Scripts
beforeAll(async () => {
  s = await startScripts()
  const gateway = await s.gateway()
  const accountId = await s.put({ balanceFen: 10 })
  for (let n = 0; n < 3; n++) await gateway.send([{ accountId }])
})
afterAll(() => s.stop())

const PLACE: FlushPlace = {
  ...{ partition: 0, generation: 1, entryNumber: 0, entryId: GENESIS },
  ...{ records: 0, chainHead: "", chainStart: 0 },
}

function startAlone(record: Pick<FlushRecord, "readPlace">) {
  const log: string[] = []
  const asked: string[] = []
  const flusher = startFlusher({
    redis: oneNode(s.redis),
    record: {
      ...record,
      flush: async ({ to }) => {
        asked.push("flush")
        return { records: to.records }
      },
      ensureMonth: async () => undefined,
      doubt: async () => void asked.push("doubt"),
      noteStop: async ({ reason }) => void asked.push(`stop: ${reason}`),
      readStop: async () => null,
      loadChainKeys: async () => [],
    },
    openings: createOpenings(async () => ({ partitions: 1, generations: [1], openings: [1] })),
    partition: 0,
    log: (line) => void log.push(line),
  })
  return { flusher, log, asked }
}

test("a Postgres that lacks what it had told Redis gets nothing from the flusher, before the keeper has filled it up", async () => {
  await s.writeMeta({ entryFlushed: 2, flushed: 2 })
  let place = PLACE
  let looks = 0
  const { flusher, asked } = startAlone({
    async readPlace() {
      looks++
      return place
    },
  })
  await eventually(() => looks >= 3)
  expect(asked).toEqual([])
  const [, second] = await s.entries()
  place = { ...PLACE, entryNumber: 2, entryId: second?.id ?? "", records: 2 }
  await eventually(() => asked.length > 0)
  expect(asked).toEqual(["flush"])
  await flusher.stop()
})

test("a Redis that lacks what Postgres has raises one alarm, and does not halt the partition", async () => {
  const place = { ...PLACE, entryNumber: 5, entryId: "entry005", records: 5 }
  const { flusher, log, asked } = startAlone({ readPlace: async () => place })
  const alarms = () => log.filter((line) => line.includes("ALARM"))
  await eventually(() => alarms().length > 0)
  await Bun.sleep(600)
  expect(alarms()).toEqual(["ALARM partition 0: Postgres has entries that this Redis never had"])
  expect(asked).toEqual([])
  await flusher.stop()
})

test("a Redis that went back and on by another way is told to the keeper, and does not halt the partition", async () => {
  await s.writeMeta({ entryFlushed: 2, flushed: 2 })
  const place = { ...PLACE, entryNumber: 2, entryId: "another2", records: 2 }
  const { flusher, log, asked } = startAlone({ readPlace: async () => place })
  await eventually(() => log.length >= 3)
  expect(new Set(log)).toEqual(
    new Set(["partition 0: flushing pauses: entry 3 of generation 1 does not follow entry 2"]),
  )
  expect(new Set(asked)).toEqual(new Set(["doubt"]))
  await flusher.stop()
})
