#!lua
-- apply: carries out instructions of one account, in their order. Each number is applied once:
-- lower ones than the account's next are passed over, and a gap stops before it.
--
-- KEYS  meta         string  the partition's generation, clock, counts and last entry
--       stream       stream  change records that Postgres does not have yet, and a tail
--       account      string  the packed state; absent until instruction 1 opens the account
--       reversed     hash    charges that were reversed: account and number
-- ARGV  generation   the life of the partition that the caller knows
--       partitions   their number, fixed for a generation
--       entry        8 random bytes that name the entry
--       instructions per instruction, packed: number, kind, amount, auth version, length and details
-- RETURN applied     state: the account's packed state afterwards
--        gap         a number before these is not here yet, or the account was never opened
--        fenced      this Redis is not the generation that the caller knows: nothing was written
--        too_large   a credit would leave the range in which numbers are exact: nothing was written
-- KIND  from 32 to 63 add money (38 reverses a charge); 64 open; 65 auth_version; 66 passed over: a
--       reversal of what was reversed before, by a revoke
local META, ACCOUNT, INSTRUCTION = "<I4I2I8I8I8I8c8I8I4", "<I8I8I8I4I4B", "<I4BI8I4I2"
local RECORD = "<c16BI8I8I8I2"
-- Half of 2^53: a revoke that puts back as much again stays within what a number holds exactly.
local ACCOUNT_BYTES, BALANCE_MAX = 33, 4503599627370495
local KIND_REVERSAL, KIND_OPEN, KIND_AUTH_VERSION, KIND_PASSED_OVER, STATUS_OPEN = 38, 64, 65, 66, 1
local pack, unpack_from, sub = struct.pack, struct.unpack, string.sub

local stream = KEYS[2]
local found = redis.call("MGET", KEYS[1], KEYS[3])
local meta, state = found[1], found[2]
if not meta then return { "fenced" } end
local generation, partitions, clock, written, flushed, entry_number, entry_before, entry_flushed, services =
  unpack_from(META, meta)
if generation ~= tonumber(ARGV[1]) or partitions ~= tonumber(ARGV[2]) then return { "fenced" } end

local balance, held, seq, applied, auth, status, rest = 0, 0, 0, 0, 0, STATUS_OPEN, ""
if state then
  balance, held, seq, applied, auth, status = unpack_from(ACCOUNT, state)
  rest = sub(state, ACCOUNT_BYTES + 1)
end

local account, records, money_records = sub(KEYS[3], -16), {}, 0
local marks = {}
local list, at, bytes = ARGV[4], 1, #ARGV[4]
while at <= bytes do
  local number, kind, amount, version, length
  number, kind, amount, version, length, at = unpack_from(INSTRUCTION, list, at)
  local details = sub(list, at, at + length - 1)
  at = at + length
  if number > applied then
    if number ~= applied + 1 or (number == 1) ~= (kind == KIND_OPEN) then return { "gap" } end
    applied = number
    local mark = kind == KIND_REVERSAL and account .. (string.match(details, "^chg_%w+_%d+_(%d+)") or "")
    if kind == KIND_OPEN or kind == KIND_AUTH_VERSION then
      auth, amount = version, 0
    elseif mark and (marks[mark] or redis.call("HEXISTS", KEYS[4], mark) == 1) then
      kind, amount = KIND_PASSED_OVER, 0
    else
      if balance + amount > BALANCE_MAX then return { "too_large" } end
      balance, seq, money_records = balance + amount, seq + 1, money_records + 1
      if mark then marks[mark] = true end
    end
    details = pack("<I4I4", number, auth) .. details
    records[#records + 1] = pack(RECORD, account, kind, seq, amount, balance, #details) .. details
  end
end
if #records == 0 then
  if not state then return { "gap" } end
  return { "applied", state }
end

local time = redis.call("TIME")
local now = math.max(time[1] * 1000 + math.floor(time[2] / 1000), clock)
local id = redis.call("XADD", stream, "NOMKSTREAM", ARGV[1] .. "-*", "id", ARGV[3],
  "prev", entry_before, "slot", "", "batch", "0",
  "at", string.format("%.0f", now), "records", table.concat(records))
if not id then return { "fenced" } end
-- From here on the instructions must succeed: all was read and checked, and the append is written.
state = pack(ACCOUNT, balance, held, seq, applied, auth, status) .. rest
redis.call("MSET", KEYS[1], pack(META, generation, partitions, now, written + money_records, flushed,
  entry_number + 1, ARGV[3], entry_flushed, services), KEYS[3], state)
for mark in pairs(marks) do redis.call("HSET", KEYS[4], mark, 1) end
return { "applied", state }
