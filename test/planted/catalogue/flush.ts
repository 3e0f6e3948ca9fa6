import type { PlantedFault } from "../fault.ts"

/** Between Redis and Postgres: the flush, its statement, the hash chain. */
export const FLUSH_FAULTS: readonly PlantedFault[] = [
  {
    name: "entries are trimmed before they are committed",
    loses: "everybody's: where the flush fails then, the records are nowhere",
    edits: [
      {
        file: "src/flusher/flusher.ts",
        from: "const writing = within(record.flush(flush), FLUSH)",
        to: `const upTo = \`\${place.generation}-\${flush.to.entryNumber + 1}\`
    await redis.xtrim(streamKey(partition, place.generation), "MINID", upTo)
    const writing = within(record.flush(flush), FLUSH)`,
      },
    ],
    caughtBy: {
      file: "test/flusher/faults.test.ts",
      test: "the connection is cut when the records are about to be sent: nothing of them was written",
    },
  },
  {
    name: "entries are trimmed beyond the watermark",
    loses: "everybody's: what Postgres does not have yet leaves Redis",
    edits: [
      {
        file: "lua/acknowledge.lua",
        from: "if trim > 0 and trim < entry then",
        to: "if trim > 0 then",
      },
    ],
    caughtBy: {
      file: "test/lua/acknowledge.test.ts",
      test: "acknowledge trims nothing by itself, and nothing that is not committed",
    },
  },
  {
    name: "a record that is there already is passed over in silence",
    loses:
      "everybody's: a Redis that went back writes other records under old numbers, and they are dropped",
    edits: [
      {
        file: "db/queries/flush-batch.ts",
        from: `interface, quantity, key_id, source_id, request_id, slot, batch, place)
      returning 1`,
        to: `interface, quantity, key_id, source_id, request_id, slot, batch, place)
      on conflict do nothing
      returning 1`,
      },
      {
        file: "db/queries/flush-batch.ts",
        from: "flush_must((select count(*) from inserted) = ${recordCount}, 'each record is inserted once')",
        to: "flush_must((select count(*) from inserted) <= ${recordCount}, 'each record is inserted once')",
      },
    ],
    caughtBy: {
      file: "test/flusher/halt.test.ts",
      test: "the flusher halts and skips nothing, and goes on when it is repaired and told to: a record of that number and time is in Postgres already",
    },
  },
  {
    name: "a flush is two statements, of which the first moves the watermark",
    loses: "everybody's: where the connection ends between them, the records are skipped for ever",
    edits: [
      {
        file: "db/queries/flush-batch.ts",
        from: "const rows = await sql<{ records: string }[]>`\n    with moved as (",
        to: "const [first] = await sql<{ records: string }[]>`",
      },
      {
        file: "db/queries/flush-batch.ts",
        from: `      returning records
    ), inserted as (`,
        to: `      returning records\`
  if (first === undefined) return null
  const rows = await sql<{ records: string }[]>\`
    with moved as (select \${first.records}::bigint as records), inserted as (`,
      },
    ],
    caughtBy: {
      file: "test/flusher/faults.test.ts",
      test: "the connection is cut when the records are about to be sent: nothing of them was written",
    },
  },
  {
    name: "the watermark is moved without a comparison",
    loses: "everybody's: two flushers skip each other's records",
    edits: [
      {
        file: "db/queries/flush-batch.ts",
        from: `
        and entry_number = \${from.entryNumber} and entry_id = \${from.entryId}
        and records = \${from.records} and chain_head = \${from.chainHead}`,
        to: "",
      },
    ],
    caughtBy: {
      file: "test/flusher/flusher.test.ts",
      test: "three flushers on one partition write each record once, and raise no alarm",
    },
  },
  {
    name: "the entry before is not compared",
    loses: "everybody's: a stream that went on by another way is taken for the one that was",
    edits: [
      {
        file: "src/flusher/read-entries.ts",
        from: "if (entry.number !== number + 1 || entry.previousId !== id) {",
        to: "if (entry.number !== number + 1) {",
      },
    ],
    caughtBy: {
      file: "test/flusher/halt.test.ts",
      test: "the flusher halts and skips nothing, and goes on when it is repaired and told to: an entry names another predecessor",
    },
  },
  {
    name: "counter-accounts are not posted in the flush",
    loses: "the operator's: nobody can say what was earned, and a wrong balance stands out nowhere",
    edits: [
      {
        file: "src/flusher/compose.ts",
        from: "    counters.set(record.kind, row)\n",
        to: "",
      },
    ],
    caughtBy: {
      file: "test/reporting.test.ts",
      test: "the trial balance is zero, and records become final behind the watermark",
    },
  },
  {
    name: "a leaf of the hash chain does not say at which place it stands",
    loses: "the operator's: records can be put in another order by whoever writes to the database",
    edits: [
      {
        file: "src/flusher/chain.ts",
        from: "    putInteger(position)\n",
        to: "    putInteger(0 * position)\n",
      },
    ],
    caughtBy: {
      file: "test/flusher/chain.test.ts",
      test: "another head comes of another position",
    },
  },
  {
    name: "a head of the hash chain does not hold the one before it",
    loses: "the operator's: a record can be changed, and every head after it stays right",
    edits: [
      {
        file: "src/flusher/chain.ts",
        from: "update(bytes).digest(leaf)\n      Bun.SHA256.hash(linked, head)",
        to: "update(bytes).digest(leaf)\n      Bun.SHA256.hash(leaf.subarray(0, HASH_BYTES), head)",
      },
    ],
    caughtBy: {
      file: "test/reconcile/chain.test.ts",
      test: "it finds that a description was changed",
    },
  },
  {
    name: "holds expire although the clocks disagree on the time",
    loses: "the operator's: a clock that jumped ahead voids what upstreams are working for",
    edits: [
      {
        file: "src/flusher/expire.ts",
        from: "if (apartMs > CLOCKS_APART_MS_MAX) {",
        to: "if (apartMs === Number.POSITIVE_INFINITY) {",
      },
    ],
    caughtBy: {
      file: "test/flusher/expire.test.ts",
      test: "while the clocks of Redis and Postgres are far apart no hold expires, and the operator hears of it once",
    },
  },
]
