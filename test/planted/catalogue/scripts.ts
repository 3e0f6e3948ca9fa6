import type { PlantedFault } from "../fault.ts"

/** In the scripts that decide. */
export const SCRIPT_FAULTS: readonly PlantedFault[] = [
  {
    name: "a charge is deducted before it is appended",
    loses: "the account's: where the append is refused, the money is gone without a record",
    edits: [
      {
        file: "lua/decide.lua",
        from: `if record_count > 0 then
  local id = redis.call("XADD", stream,`,
        to: `for i = 1, account_count do
  if balance[i] then
    local rest = sub(found[i + 2], MONEY_BYTES + 1)
    redis.call("SET", KEYS[i + 3], pack(MONEY, balance[i], held[i], seq[i]) .. rest)
  end
end
if record_count > 0 then
  local id = redis.call("XADD", stream,`,
      },
    ],
    caughtBy: {
      file: "test/lua/decide.test.ts",
      test: "a batch is refused as a whole, and nothing is written fenced: the stream of this generation is not there",
    },
  },
  {
    name: "what is held may be spent",
    loses: "the operator's: two calls are forwarded on the same fen",
    edits: [
      {
        file: "lua/decide.lua",
        from: "elseif before - held[i] < amount then",
        to: "elseif before < amount then",
      },
      {
        file: "lua/decide.lua",
        from: "not is_saturated and before - h >= amount",
        to: "not is_saturated and before >= amount",
      },
    ],
    caughtBy: {
      file: "test/lua/decide.test.ts",
      test: "an item is refused alone, and changes nothing of its account accepted: all that is available, and not a fen of what is held",
    },
  },
  {
    name: "a number leaves a script through tostring",
    loses: "everybody's: beyond 14 digits it names another entry",
    edits: [
      {
        file: "lua/acknowledge.lua",
        from: 'string.format("%.0f", trim + 1)',
        to: "tostring(trim + 1)",
      },
    ],
    caughtBy: {
      file: "test/lua/numbers.test.ts",
      test: "an acknowledgement beyond 10^15 names its entry exactly",
    },
  },
  {
    name: "the memo of a batch has an end",
    loses: "the account's: a retry after that time is charged again",
    edits: [
      {
        file: "lua/decide.lua",
        from: `if not spend then
  redis.call("MSET", unpack(writes))`,
        to: `if not spend then
  redis.call("MSET", unpack(writes))
  redis.call("PEXPIRE", memo_key, ARGV[9])`,
      },
    ],
    caughtBy: {
      file: "test/lua/numbering.test.ts",
      test: "charge leaves a memo that has no end, so that a retry is known however late it comes",
    },
  },
  {
    name: "the memo of a batch forgets that it was refused",
    loses: "the account's: refused, and charged by a late attempt when there is money again",
    edits: [
      {
        file: "lua/decide.lua",
        from: 'memo_key, pack("<I8", batch) .. reply,',
        to: 'memo_key, pack("<I8", is_changed and batch or batch - 1) .. (is_changed and reply or sub(memo, 9)),',
      },
    ],
    caughtBy: {
      file: "test/lua/numbering.test.ts",
      test: "charge answers a repeated refusal as it was, although there is money now",
    },
  },
  {
    name: "the result of a keyed request is not kept",
    loses: "the account's: a client that comes again with its key pays again",
    edits: [
      {
        file: "lua/decide.lua",
        from: 'remember(key_place, CHARGED, print, i, seq[i], amount, now, "")',
        to: "",
      },
    ],
    caughtBy: {
      file: "test/lua/decide.idempotency.test.ts",
      test: "a keyed charge is replayed with the identical numbers, whatever became of the account since",
    },
  },
  {
    name: "the result of a keyed request is forgotten before its time",
    loses: "the account's: a client that comes again with its key within the day pays again",
    edits: [
      {
        file: "lua/decide.lua",
        from: 'redis.call("SET", key, text, "PX", ARGV[9])',
        to: 'redis.call("SET", key, text, "PX", 60000)',
      },
    ],
    caughtBy: {
      file: "test/lua/decide.idempotency.test.ts",
      test: "a keyed charge has its result for as long as its gateway says",
    },
  },
  {
    name: "back-pressure that cannot refuse: charges pass at the bound",
    loses: "everybody's: Redis fills up with what Postgres does not have, and ends out of memory",
    edits: [
      {
        file: "lua/decide.lua",
        from: "local is_saturated = unflushed >= bound",
        to: "local is_saturated = false",
      },
    ],
    caughtBy: {
      file: "test/lua/saturation.test.ts",
      test: "at the bound charges and holds are refused one by one, and change nothing",
    },
  },
  {
    name: "a key that was revoked is good until it is looked up again",
    loses: "the account's: whoever stole it goes on spending",
    edits: [
      {
        file: "lua/decide.lua",
        from: "elseif auth[i] ~= version then",
        to: "elseif auth[i] > version + 1 then",
      },
      {
        file: "lua/decide.lua",
        from: "band(flags, UNVERIFIED) == 0 and auth[i] ~= version then",
        to: "band(flags, UNVERIFIED) == 0 and auth[i] > version + 1 then",
      },
    ],
    caughtBy: {
      file: "test/ledger/instructions.test.ts",
      test: "an instruction that raises the auth version kills what was verified under the old one, in that moment",
    },
  },
  {
    name: "a service key that was revoked is good until it is looked up again",
    loses: "every account's: it names whom it charges",
    edits: [
      {
        file: "lua/decide.lua",
        from: "if band(flags, SERVICE) > 0 and service ~= services then",
        to: "if band(flags, SERVICE) > 0 and service > services then",
      },
    ],
    caughtBy: {
      file: "test/lua/services.test.ts",
      test: "a charge or hold by service key passes under the version of now alone, older and newer ones do not",
    },
  },
  {
    name: "the sweep voids holds whose time is not over",
    loses:
      "the operator's: the capture that is under way finds nothing, and its call was for nothing",
    edits: [
      {
        file: "lua/decide.lua",
        from: 'if is_expiry and now < expires then return { 21, b, h, 0, 0, 0, "" } end',
        to: "",
      },
    ],
    caughtBy: {
      file: "test/lua/decide.holds.test.ts",
      test: "the time of a hold is not over a millisecond before; then it is, for captures too, swept or not",
    },
  },
  {
    name: "a capture may take more than is held",
    loses:
      "the account's: an upstream that asks for too much is given what the account never put aside",
    edits: [
      {
        file: "lua/decide.lua",
        from: 'if amount > reserved then return { 20, b, h, 0, reserved, 0, "" } end',
        to: "",
      },
    ],
    caughtBy: {
      file: "test/lua/decide.holds.test.ts",
      test: "a capture of more than is held is refused, says how much is, and the hold stays",
    },
  },
  {
    name: "a revoke takes back what somebody else was told of",
    loses: "the operator's: the caller holds a 200 for a charge that is reversed",
    edits: [{ file: "lua/revoke.lua", from: "if told > 0 then", to: "if told > 255 then" }],
    caughtBy: {
      file: "test/ledger/unknown.test.ts",
      test: "a retry with the same key, at another gateway that is answered before the revoke arrives keeps its charge: the revoke leaves it",
    },
  },
  {
    name: "a batch that never came is not barred by its revoke",
    loses: "the account's: it arrives after its 503, and is charged",
    edits: [
      {
        file: "lua/revoke.lua",
        from: 'redis.call("SET", memo_key, pack("<I8", batch))',
        to: "",
      },
    ],
    caughtBy: {
      file: "test/lua/numbering.test.ts",
      test: "revoke bars the number of a batch that never came, for ever",
    },
  },
  {
    name: "a revoked capture leaves its hold resolved",
    loses: "the operator's: the capture was answered 503, and cannot be made again",
    edits: [
      {
        file: "lua/revoke.lua",
        from: "if reverse(i, taken, number, moved_at, details) and reopen(i, hold_place, taken) then return end",
        to: "reverse(i, taken, number, moved_at, details)",
      },
    ],
    caughtBy: {
      file: "test/lua/revoke.holds.test.ts",
      test: "a capture gives its money back, and the hold is open again with what was captured",
    },
  },
  {
    name: "a revoke does not leave its mark",
    loses:
      "the operator's: whoever asks for a reversal of that charge is given its money a second time",
    edits: [
      {
        file: "lua/revoke.lua",
        from: 'for mark in pairs(marks) do redis.call("HSET", KEYS[4], mark, 1) end',
        to: "",
      },
    ],
    caughtBy: {
      file: "test/lua/revoke.reversed.test.ts",
      test: "a charge that a revoke has reversed is passed over by an instruction, which is done and moves nothing",
    },
  },
  {
    name: "an instruction is applied as often as it comes",
    loses: "the operator's: one redemption is credited by its request and by the sweep",
    edits: [
      {
        file: "lua/apply.lua",
        from: `  if number > applied then
    if number ~= applied + 1 or (number == 1) ~= (kind == KIND_OPEN) then return { "gap" } end
    applied = number`,
        to: `  if number > 1 or applied == 0 then
    applied = math.max(number, applied)`,
      },
    ],
    caughtBy: {
      file: "test/ledger/instructions.test.ts",
      test: "an instruction is applied once, from however many places at once",
    },
  },
]
