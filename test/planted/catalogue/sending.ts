import type { Edit, PlantedFault } from "../fault.ts"

/** What a node that has no script is told to run by its text, as a library does unasked. */
function keepTexts(reaction: string): Edit[] {
  return [
    {
      file: "src/ledger/scripts.ts",
      from: `const hash = (name: ScriptName) =>
    createHash("sha1").update(scriptText(name, opening)).digest("hex")`,
      to: `const hash = (name: ScriptName) => {
    const digest = createHash("sha1").update(scriptText(name, opening)).digest("hex")
    TEXTS.set(digest, scriptText(name, opening))
    return digest
  }`,
    },
    {
      file: "src/ledger/scripts.ts",
      from: "const hashesOf = new Map<number, ScriptHashes>()",
      to: `const hashesOf = new Map<number, ScriptHashes>()
export const TEXTS = new Map<string, string>()`,
    },
    {
      file: "src/ledger/run-script.ts",
      from: 'import { classifyFailure, type Failure } from "./redis.ts"',
      to: `import { classifyFailure, type Failure } from "./redis.ts"
import { TEXTS } from "./scripts.ts"`,
    },
    {
      file: "src/ledger/run-script.ts",
      from: "return { status: classifyFailure(error) }",
      to: `if (classifyFailure(error) !== "unscripted") return { status: classifyFailure(error) }
    ${reaction}`,
    },
  ]
}

/** Between a gateway and Redis: the connection, the batcher, its slot. */
export const SENDING_FAULTS: readonly PlantedFault[] = [
  {
    name: "the connection sends a command again whose reply was lost",
    loses: "the account's: the script runs twice, and nobody hears of an error",
    edits: [
      {
        file: "src/ledger/redis.ts",
        from: "autoResendUnfulfilledCommands: false,",
        to: "autoResendUnfulfilledCommands: true,",
      },
      {
        file: "src/ledger/redis.ts",
        from: "maxRetriesPerRequest: 0,",
        to: "maxRetriesPerRequest: 20,",
      },
      {
        file: "src/ledger/redis.ts",
        from: "enableOfflineQueue: false,",
        to: "enableOfflineQueue: true,",
      },
    ],
    caughtBy: {
      file: "test/ledger/redis.test.ts",
      test: "a command whose reply was lost fails, and is not sent again: it was carried out once",
    },
  },
  {
    name: "a batch has a new number each time that it is sent",
    loses: "the account's: a retry is another batch, and is charged again",
    edits: [
      {
        file: "src/ledger/slot.ts",
        from: "return sendBatch(redis, opened, { batch, place, number, entryId, pressure })",
        to: `last = Math.max(number, last + 1)
    return sendBatch(redis, opened, {
      ...{ batch, place, number: last, entryId: randomChars(8), pressure },
    })`,
      },
    ],
    caughtBy: {
      file: "test/ledger/batcher.test.ts",
      test: "a reply that is lost with its connection is asked for again: the caller gets accepted, and is charged once",
    },
  },
  {
    name: "a refusal settles a batch of which another attempt is unknown",
    loses: "the account's: the first attempt ran, its caller is told 503, and nobody puts it back",
    edits: [
      {
        file: "src/ledger/batcher.ts",
        from: 'if (reply.status !== "unknown" && !isUnknown) return refused(call, reply.status)',
        to: 'if (reply.status !== "unknown") return refused(call, reply.status)',
      },
    ],
    caughtBy: {
      file: "test/ledger/restarts.test.ts",
      test: "a batch whose reply was lost with redis-server itself is charged once or put back, never half",
    },
  },
  {
    name: "a batch that comes too late for its callers is kept",
    loses: "the account's: answered 503, and charged",
    edits: [
      {
        file: "src/ledger/batcher.ts",
        from: "if (call.isExpired && call.batch.tookAnything(reply)) return revoke(call)",
        to: "",
      },
    ],
    caughtBy: {
      file: "test/ledger/batcher.test.ts",
      test: "a reply that is late is not waited for: unavailable within 500 ms, then the charge is put back",
    },
  },
  {
    name: "a 503 goes out before its revoke is on the disk",
    loses: "the account's: where the gateway dies then, nobody knows that the charge is to go back",
    edits: [
      {
        file: "src/ledger/batcher.ts",
        from: "const writing = revokeFile.write(slot.orderOf(call))",
        to: "const writing = Promise.resolve()",
      },
    ],
    caughtBy: {
      file: "test/ledger/unknown.test.ts",
      test: "a gateway that dies between its 503 and its revoke leaves the revoke in a file, and the next start on the same directory carries it out",
    },
  },
  {
    name: "a script that is not loaded is run by its text",
    loses:
      "the operator's: a Redis that lost its end is charged on before anybody has looked at it",
    edits: keepTexts(
      'reply = await redis.callBuffer("EVAL", TEXTS.get(hash) ?? "", keys.length, ...keys, ...args)',
    ),
    caughtBy: {
      file: "test/ledger/restarts.test.ts",
      test: "the memo survives kill -9: NOSCRIPT first, then the retry gets the first reply, and is charged once",
    },
  },
  {
    name: "a gateway that is told NOSCRIPT loads the script again",
    loses: "the operator's: as above, and the fence is gone for everybody",
    edits: keepTexts(`await redis.script("LOAD", TEXTS.get(hash) ?? "")
    reply = await redis.callBuffer("EVALSHA", hash, keys.length, ...keys, ...args)`),
    caughtBy: {
      file: "test/ledger/restarts.test.ts",
      test: "the memo survives kill -9: NOSCRIPT first, then the retry gets the first reply, and is charged once",
    },
  },
  {
    name: "a wait for replicas that is not met counts as done",
    loses: "the operator's: what was answered is gone with the master",
    edits: [
      {
        file: "src/ledger/run-script.ts",
        from: 'return reply.status === "done" && replicas < wait.replicas ? { status: "unknown" } : reply',
        to: 'return replicas < 0 ? { status: "unknown" } : reply',
      },
    ],
    caughtBy: {
      file: "test/ledger/replicas.test.ts",
      test: "with WAIT a charge is answered once a replica has it; while none does, it is 503 and put back",
    },
  },
  {
    name: "a Redis that is short of memory is written to until it has none",
    loses:
      "the account's: captures and revokes have no room left, so that holds and 503s stay charged",
    edits: [
      {
        file: "src/ledger/attempts.ts",
        from: 'pressure.isMemoryShort(partition) ? "0" : String(UNFLUSHED_RECORDS_MAX)',
        to: "String(UNFLUSHED_RECORDS_MAX)",
      },
    ],
    caughtBy: {
      file: "test/ledger/memory.test.ts",
      test: "near maxmemory charges and holds are refused, captures and credits go on, and nothing is lost",
    },
  },
]
