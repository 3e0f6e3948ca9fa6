import { expect, setDefaultTimeout, test } from "bun:test"
import { listLosses } from "../../db/queries/list-losses.ts"
import { noteSeen } from "../../db/queries/note-seen.ts"
import { withStores } from "../support/ledger.ts"

setDefaultTimeout(30_000)

/** What processes note of what they have seen, beside where the generation stood. */

const PLACE = { partition: 0, generation: 1, opening: 2, seenOpening: 1 }

/** Of one partition, whose generation 1 stood at entry 16 when its node was opened anew. */
async function withNotes(
  run: (notes: {
    see(entryNumber: number, under?: { opening?: number; seenOpening?: number }): Promise<void>
    /** The generation is over, and Postgres has this entry of it. */
    end(lastEntry: number): Promise<unknown>
    /** The last that was noted, and what was there of it. */
    compared(): Promise<unknown>
  }) => Promise<void>,
): Promise<void> {
  await withStores({}, async ({ sql }) => {
    await sql`insert into ledger (partitions) values (1)`
    await sql`
      insert into partitions (partition, generation, opening, opened_entry, opened_records)
      values (0, 1, 2, 16, 18)
    `
    await sql`insert into generations (partition, generation, records_before) values (0, 1, 0)`
    await run({
      see: (entryNumber, under) =>
        noteSeen(sql, { ...PLACE, ...under, entryNumber, records: entryNumber + 2 }),
      end: (lastEntry) =>
        sql`update generations set last_entry = ${lastEntry}, last_records = ${lastEntry + 2}`,
      async compared() {
        const loss = (await listLosses(sql)).at(-1)
        return [loss?.entryNumber, loss?.hadEntry, loss?.hadRecords]
      },
    })
  })
}

test("what was written after an opening, and is in the record, is no loss when the generation ends", async () => {
  await withNotes(async ({ see, end, compared }) => {
    await see(16)
    expect(await compared()).toEqual([16, 16, 18])
    await end(18)
    await see(18)
    expect(await compared()).toEqual([18, 18, 20])
  })
})

test("what a generation lost after an opening is a loss at its end, although nothing was written in between", async () => {
  await withNotes(async ({ see, end, compared }) => {
    await see(16)
    await end(12)
    await see(14)
    expect(await compared()).toEqual([16, 12, 14])
    await see(16)
    expect(await compared()).toEqual([16, 12, 14])
  })
})

test("what was lost at an opening stays lost, whatever the record had of the generation at its end", async () => {
  await withNotes(async ({ see, end, compared }) => {
    await see(20)
    await end(18)
    await see(21)
    expect(await compared()).toEqual([21, 16, 18])
  })
})

test("what was written after a loss, and lost later on, is another loss than the one before", async () => {
  await withNotes(async ({ see, end, compared }) => {
    await see(20)
    await end(18)
    await see(21, { opening: 3, seenOpening: 2 })
    expect(await compared()).toEqual([21, 18, 20])
    // Who has heard of no opening in between has seen what was lost at first.
    await see(22, { opening: 4 })
    expect(await compared()).toEqual([22, 16, 18])
  })
})
