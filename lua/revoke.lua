#!lua
-- revoke: settles a batch of charges whose answer never came and whose callers were told 503. If it
-- was decided, what it took is put back; if not, its number is barred, so that it can never run.
--
-- KEYS  meta        string  the partition's generation, clock, counts and last entry
--       stream      stream  change records that Postgres does not have yet, and a tail
--       memo        string  number and reply of this slot's last batch
--       account…    string  the accounts of the batch, in the batch's order
-- ARGV  generation  the life of the partition that the gateway knows
--       partitions  their number, fixed for a generation
--       slot        the slot's name, for the entry
--       batch       the number of the batch to revoke
--       entry       8 random bytes that name the entry
--       items       the items of the batch, as they were sent
-- RETURN revoked     what it took is put back; or this revoke has been carried out before
--        barred      it never ran, and never will
--        fenced      this Redis is not the generation that the gateway knows: nothing was written
--        slot_closed no such slot: nothing was written
--        ahead       batches of this slot are missing here, or a later one was decided
local META, ACCOUNT, ITEM = "<I4I2I8I8I8I8c8I8I4", "<I8I8I8I4I4B", "<I2I8I4I2"
local REPLY, RECORD = "<BI8I8I8", "<c16BI8I8I8I2"
local ACCOUNT_BYTES, REPLY_BYTES, KIND_REVERSAL, ACCEPTED = 33, 25, 37, 0
local pack, unpack_from, sub = struct.pack, struct.unpack, string.sub

local stream, memo_key = KEYS[2], KEYS[3]
local found = redis.call("MGET", KEYS[1], memo_key, unpack(KEYS, 4))
local meta, memo = found[1], found[2]
if not meta then return { "fenced" } end
local generation, partitions, clock, written, flushed, entry_number, entry_before, entry_flushed, services =
  unpack_from(META, meta)
if generation ~= tonumber(ARGV[1]) or partitions ~= tonumber(ARGV[2]) then return { "fenced" } end

if not memo then return { "slot_closed" } end
local batch, decided = tonumber(ARGV[4]), unpack_from("<I8", memo)
if batch == decided + 1 then
  -- From here on the bar must succeed: it is the one write, and nothing is left to check.
  redis.call("SET", memo_key, pack("<I8", batch))
  return { "barred" }
end
if batch ~= decided then return { "ahead" } end
if #memo == 8 then return { "revoked" } end

local time = redis.call("TIME")
local now = math.max(time[1] * 1000 + math.floor(time[2] / 1000), clock)
local reply = sub(memo, 9)
local charged_at = unpack_from("<I8", reply)

local account = {}
for i = 1, #KEYS - 3 do
  if found[i + 2] then account[i] = { unpack_from(ACCOUNT, found[i + 2]) } end
end

local items, at, bytes, answer_at = ARGV[6], 1, #ARGV[6], 9
local records, touched = {}, {}
while at <= bytes do
  local i, amount, length, _
  i, amount, _, length, at = unpack_from(ITEM, items, at)
  at = at + length
  local outcome, _, _, number = unpack_from(REPLY, reply, answer_at)
  answer_at = answer_at + REPLY_BYTES
  if outcome == ACCEPTED then
    local state = account[i]
    state[1], state[3], touched[i] = state[1] + amount, state[3] + 1, true
    local details = pack("<I8I8", number, charged_at)
    records[#records + 1] =
      pack(RECORD, sub(KEYS[i + 3], -16), KIND_REVERSAL, state[3], amount, state[1], #details) .. details
  end
end

if #records > 0 then
  local id = redis.call("XADD", stream, "NOMKSTREAM", ARGV[1] .. "-*", "id", ARGV[5],
    "prev", entry_before, "slot", ARGV[3], "batch", ARGV[4],
    "at", string.format("%.0f", now), "records", table.concat(records))
  if not id then return { "fenced" } end
  entry_number, entry_before = entry_number + 1, ARGV[5]
end
-- From here on the revoke must succeed: everything was read and checked, and the append is written.
local writes = {
  KEYS[1], pack(META, generation, partitions, now, written + #records, flushed, entry_number,
    entry_before, entry_flushed, services),
  memo_key, pack("<I8", batch),
}
for i in pairs(touched) do
  local s = account[i]
  writes[#writes + 1] = KEYS[i + 3]
  writes[#writes + 1] = pack(ACCOUNT, s[1], s[2], s[3], s[4], s[5], s[6])
    .. sub(found[i + 2], ACCOUNT_BYTES + 1)
end
redis.call("MSET", unpack(writes))
return { "revoked" }
