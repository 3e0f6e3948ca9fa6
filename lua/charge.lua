#!lua
-- charge: decides one batch of charges. Each takes its amount from one balance and is recorded,
-- or is refused and changes nothing; a batch that was decided before gets its first answer again.
--
-- KEYS  meta        string  the partition's generation, clock, counts and last entry
--       stream      stream  change records that Postgres does not have yet, and a tail
--       memo        string  number and reply of this slot's last batch
--       account…    string  the packed state of each account that an item names, by its place here
-- ARGV  generation  the life of the partition that the gateway knows
--       partitions  their number, fixed for a generation
--       unflushed   records written and not flushed from which on charges are refused
--       slot        the slot's name, for the entry
--       batch       1, 2, 3 … per slot
--       entry       8 random bytes that name the entry
--       items       per item, packed: account's place, amount, auth version, length and details
-- RETURN done        reply: batch time in ms, then 25 bytes an item: outcome, balance, held, number
--        fenced      this Redis is not the generation that the gateway knows: nothing was written
--        slot_closed no such slot: nothing was written
--        barred      the batch was revoked, or a later one was decided: nothing was written
--        ahead       batches of this slot are missing here: Redis lost data
--        saturated   Postgres is too far behind: nothing was written
-- ITEM  0 accepted  1 account_unknown  2 account_frozen  3 account_closed  4 auth_changed
--       5 insufficient_balance
local META, ACCOUNT, ITEM = "<I4I2I8I8I8I8c8I8I4", "<I8I8I8I4I4B", "<I2I8I4I2"
local REPLY, RECORD = "<BI8I8I8", "<c16BI8I8I8I2"
-- Balance, held and number stand first in a state; a charge leaves what follows them as it was.
local MONEY, MONEY_BYTES, KIND_CHARGE = "<I8I8I8", 24, 1
local OPEN, FROZEN = 1, 2
local pack, unpack_from, sub = struct.pack, struct.unpack, string.sub

local stream, memo_key = KEYS[2], KEYS[3]
local found = redis.call("MGET", KEYS[1], memo_key, unpack(KEYS, 4))
local meta, memo = found[1], found[2]
if not meta then return { "fenced" } end
local generation, partitions, clock, written, flushed, entry_number, entry_before, entry_flushed, services =
  unpack_from(META, meta)
if generation ~= tonumber(ARGV[1]) or partitions ~= tonumber(ARGV[2]) then return { "fenced" } end

if not memo then return { "slot_closed" } end
local batch, decided = tonumber(ARGV[5]), unpack_from("<I8", memo)
if batch <= decided then
  if batch == decided and #memo > 8 then return { "done", sub(memo, 9) } end
  return { "barred" }
end
if batch ~= decided + 1 then return { "ahead" } end
if written - flushed >= tonumber(ARGV[3]) then return { "saturated" } end

local time = redis.call("TIME")
local now = math.max(time[1] * 1000 + math.floor(time[2] / 1000), clock)

local balance, held, seq, auth, status = {}, {}, {}, {}, {}
for i = 1, #KEYS - 3 do
  local state, _ = found[i + 2]
  if state then balance[i], held[i], seq[i], _, auth[i], status[i] = unpack_from(ACCOUNT, state) end
end

local items, at, bytes = ARGV[7], 1, #ARGV[7]
local answers, records, answer_count, record_count = {}, {}, 0, 0
while at <= bytes do
  local i, amount, version, length, outcome, number
  i, amount, version, length, at = unpack_from(ITEM, items, at)
  local details = sub(items, at, at + length - 1)
  at = at + length
  local before = balance[i]
  if not before then
    outcome = 1
  elseif status[i] ~= OPEN then
    outcome = status[i] == FROZEN and 2 or 3
  elseif auth[i] ~= version then
    outcome, number = 4, auth[i]
  elseif before - held[i] < amount then
    outcome, number = 5, seq[i]
  else
    outcome, number = 0, seq[i] + 1
    balance[i], seq[i] = before - amount, number
    record_count = record_count + 1
    records[2 * record_count - 1] =
      pack(RECORD, sub(KEYS[i + 3], -16), KIND_CHARGE, number, amount, before - amount, length)
    records[2 * record_count] = details
  end
  answer_count = answer_count + 1
  answers[answer_count] = pack(REPLY, outcome, balance[i] or 0, held[i] or 0, number or 0)
end
local reply = pack("<I8", now) .. table.concat(answers)

if record_count > 0 then
  local id = redis.call("XADD", stream, "NOMKSTREAM", ARGV[1] .. "-*", "id", ARGV[6],
    "prev", entry_before, "slot", ARGV[4], "batch", ARGV[5],
    "at", string.format("%.0f", now), "records", table.concat(records))
  if not id then return { "fenced" } end
  entry_number, entry_before = entry_number + 1, ARGV[6]
end
-- From here on the batch must succeed: everything was read and checked, and the append is written.
local writes = {
  KEYS[1], pack(META, generation, partitions, now, written + record_count, flushed, entry_number,
    entry_before, entry_flushed, services),
  memo_key, pack("<I8", batch) .. reply,
}
if record_count > 0 then
  local last = #writes
  for i = 1, #KEYS - 3 do
    if balance[i] then
      local rest = sub(found[i + 2], MONEY_BYTES + 1)
      writes[last + 1] = KEYS[i + 3]
      writes[last + 2] = pack(MONEY, balance[i], held[i], seq[i]) .. rest
      last = last + 2
    end
  end
end
redis.call("MSET", unpack(writes))
return { "done", reply }
