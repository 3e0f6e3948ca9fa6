import type { PlantedFault } from "../fault.ts"

/** When a store lost something, or is not the one that it was. */
export const RECOVERY_FAULTS: readonly PlantedFault[] = [
  {
    name: "the generation is not in the names of keys",
    loses: "everybody's: what is built stands on what was, and is charged on both",
    edits: [
      {
        file: "src/ledger/keys.ts",
        from: "return `{${hashTag(partition)}}:${generation}:`",
        to: "return `{${hashTag(partition)}}:${Math.min(generation, 1)}:`",
      },
    ],
    caughtBy: {
      file: "test/recovery/redis-lost.test.ts",
      test: "a Redis that lost what Postgres did not have yet its end: the suffix is counted, the generation is ended, and the rest is kept",
    },
  },
  {
    name: "the opening is not in the text of scripts",
    loses: "the operator's: a former master that is promoted again charges from balances of then",
    edits: [
      {
        file: "src/ledger/scripts.ts",
        from: "-- opening ${opening}\\n`",
        to: "-- opening ${Math.min(opening, 1)}\\n`",
      },
    ],
    caughtBy: {
      file: "test/recovery/redis-lost.test.ts",
      test: "a master of before that is promoted again carries out nothing, before a keeper has looked at it",
    },
  },
  {
    name: "a Redis that lost its end is taken for whole",
    loses: "the operator's: what was answered and is gone is never told",
    edits: [
      {
        file: "src/recovery/diagnose.ts",
        from: "if (meta.entryNumber < entryNumber || atWatermark?.entryId !== entryId) {",
        to: "if (meta.entryNumber < 0) {",
      },
    ],
    caughtBy: {
      file: "test/recovery/redis-lost.test.ts",
      test: "a Redis that lost what Postgres did not have yet below the watermark: all that Postgres has is kept",
    },
  },
  {
    name: "a Postgres that was restored is believed before Redis",
    loses: "everybody's: Redis is built anew from books of before, without what was paid since",
    edits: [
      {
        file: "src/recovery/diagnose.ts",
        from: "if (toldEntry > entryNumber) {",
        to: "if (toldEntry < 0) {",
      },
    ],
    caughtBy: {
      file: "test/recovery/postgres-back.test.ts",
      test: "a Postgres that was restored to an earlier moment while everything is stopped: gets all records again at the next start",
    },
  },
  {
    name: "a standby of Postgres that lagged is taken for the one that it replaces",
    loses: "the account's: a credit gets a number that was given before, and is never carried out",
    edits: [
      {
        file: "src/ledger/behind.ts",
        from: `return (await isCompared(redis, watermark)) ? "level" : "behind"`,
        to: `return "level"`,
      },
    ],
    caughtBy: {
      file: "test/recovery/postgres-back.test.ts",
      test: "a Postgres that was restored to an earlier moment restarted and whole: the account plane waits until that is known, and nothing is an incident",
    },
  },
  {
    name: "a rebuild does not fence what it replaces",
    loses: "the account's: charges that are answered between draining and switching are gone",
    edits: [
      {
        file: "lua/fence_partition.lua",
        from: 'if meta then redis.call("SETRANGE", KEYS[1], 0, struct.pack("<I4", 0)) end',
        to: "",
      },
    ],
    caughtBy: {
      file: "test/lua/acknowledge.test.ts",
      test: "open_partition a partition that is fenced has no generation, and all else as it was",
    },
  },
  {
    name: "a rebuild begins before what Redis still has is drained",
    loses: "everybody's: charges that were answered and not flushed are gone",
    edits: [
      {
        file: "src/recovery/recover.ts",
        from: "const end = await drain(stores, { partition, generation }, log)",
        to: "const end = await readPlace(sql, partition)",
      },
    ],
    caughtBy: {
      file: "test/recovery/steps.test.ts",
      test: "a recovery that dies once it has fenced: the next one finishes it, and every charge is kept",
    },
  },
  {
    name: "a generation is opened before it is built",
    loses:
      "everybody's: where the recovery dies in between, accounts are not there, and charged from nothing",
    edits: [
      {
        file: "src/recovery/recover.ts",
        from: '  const { pages } = await buildGeneration(stores, { partition, generation: claim }, log)\n  await at?.("built")\n',
        to: "  const pages = 0\n",
      },
      {
        file: "src/recovery/recover.ts",
        from: '  await at?.("opened")\n',
        to: '  await at?.("opened")\n  await buildGeneration(stores, { partition, generation: claim }, log)\n  await at?.("built")\n',
      },
    ],
    caughtBy: {
      file: "test/recovery/steps.test.ts",
      test: "a recovery that dies once it has opened: the next one finishes it, and every charge is kept",
    },
  },
  {
    name: "of two recoveries the one with the earlier claim may open",
    loses:
      "everybody's: who was frozen wakes up, and writes the balances of then over those of now",
    edits: [
      {
        file: "lua/open_partition.lua",
        from: 'if not claim or struct.unpack("<I4", claim) ~= generation then return { "fenced" } end',
        to: "",
      },
    ],
    caughtBy: {
      file: "test/lua/acknowledge.test.ts",
      test: "open_partition of two that build, the one with the later claim opens; the other's generation never does",
    },
  },
  {
    name: "of two recoveries the one with the earlier claim may switch",
    loses: "everybody's: as above, in Postgres, and what was flushed since is of no generation",
    edits: [
      {
        file: "db/queries/switch-generation.ts",
        from: `claimed = \${claim} and generation = \${from.generation}
        and entry_number = \${from.entryNumber} and entry_id = \${from.entryId}`,
        to: "claimed > 0",
      },
    ],
    caughtBy: {
      file: "test/recovery/steps.test.ts",
      test: "a recovery that is frozen, while another one is carried out once it has built: when it wakes up, it can harm nothing",
    },
  },
  {
    name: "a rebuild forgets the results of keyed requests",
    loses: "the account's: a client that comes again with its key after that pays again",
    edits: [
      {
        file: "src/recovery/build.ts",
        from: "const results = await writeResults(stores, place, countPage)",
        to: "const results = 0",
      },
    ],
    caughtBy: {
      file: "test/flusher/results.test.ts",
      test: "after Redis was wiped and built anew a repeated request is answered as before, and is one charge; another one is refused",
    },
  },
  {
    name: "a rebuild takes instructions for done that were never flushed",
    loses:
      "the account's: a credit that Redis had, and Postgres did not have yet, is never made again",
    edits: [
      {
        file: "db/queries/list-account-states.ts",
        from: "instruction_number as instruction,",
        to: "(select max(number) from instructions i where i.account_id = s.account_id) as instruction,",
      },
      {
        file: "db/queries/list-account-states.ts",
        from: "from account_snapshots\n",
        to: "from account_snapshots s\n",
      },
    ],
    caughtBy: {
      file: "test/recovery/money.test.ts",
      test: "a credit that Redis had applied and Postgres did not have yet is applied again, once",
    },
  },
  {
    name: "a batch that was answered 503 is given up with its generation",
    loses: "the account's: it was drained into the record, and nobody puts it back",
    edits: [
      {
        file: "src/ledger/over.ts",
        from: "await takeBackCharge(sql, { chargeId: id, accountId, seq, at })",
        to: "",
      },
    ],
    caughtBy: {
      file: "test/recovery/money.test.ts",
      test: "a batch that was answered 503 and whose generation ended before its revoke is taken back from the record",
    },
  },
  {
    name: "a charge of a generation that is over is taken back although somebody was told of it",
    loses: "the operator's: the caller holds a 200 for it",
    edits: [
      {
        file: "src/ledger/over.ts",
        from: 'if (standing === "told") continue',
        to: "",
      },
    ],
    caughtBy: {
      file: "test/recovery/money.test.ts",
      test: "a batch that was answered 503 in a generation that ended stands, where somebody was answered 200 since",
    },
  },
  {
    name: "a Redis that has less than a gateway has seen gives it a slot",
    loses: "the operator's: what was answered and is gone is never told",
    edits: [
      {
        file: "lua/open_slot.lua",
        from: 'if seen > last then return { "ahead" } end',
        to: "",
      },
    ],
    caughtBy: {
      file: "test/recovery/doubts.test.ts",
      test: "a Redis that went back, and still has its scripts: who has seen more tells, and the loss is counted",
    },
  },
  {
    name: "the number of an instruction that Postgres has forgotten is given again",
    loses: "the account's: Redis takes the next credit for one that it has, and passes it over",
    edits: [
      {
        file: "db/queries/flush-batch.ts",
        from: "set last_instruction = greatest(a.last_instruction, n.number),",
        to: "set last_instruction = a.last_instruction,",
      },
    ],
    caughtBy: {
      file: "test/flusher/forgotten.test.ts",
      test: "an instruction that Postgres has forgotten comes back with its record, and its number is not given again",
    },
  },
  {
    name: "the record is changed while it lacks what it had before",
    loses: "the operator's: a code that was redeemed is redeemed once more",
    edits: [
      {
        file: "src/http/record-gate.ts",
        from: "if (dispelled === doubts) return",
        to: "if (dispelled <= doubts) return",
      },
    ],
    caughtBy: {
      file: "test/recovery/restored-record.test.ts",
      test: "nothing is changed in a Postgres that was restored before it is filled up; a code that was redeemed stays so",
    },
  },
  {
    name: "a Redis that may evict is believed",
    loses: "everybody's: balances disappear when memory is short",
    edits: [
      {
        file: "src/recovery/requirements.ts",
        from: 'value("maxmemory_policy") !== "noeviction"',
        to: 'value("maxmemory_policy") === ""',
      },
    ],
    caughtBy: {
      file: "test/recovery/keeper.test.ts",
      test: "a Redis that cannot hold money is refused, with a sentence that says what to change it may evict",
    },
  },
  {
    name: "a migration takes records for chained that were never hashed",
    loses: "the operator's: the alarm about the chain rings for ever, and says nothing",
    edits: [
      {
        file: "db/migrations/0003_recovery.sql",
        from: "chain_start = records,",
        to: "chain_start = 0,",
      },
    ],
    caughtBy: {
      file: "test/db/migrations.test.ts",
      test: "records from before the hash chain stay as they are: it begins behind them, and all books go on",
    },
  },
]
