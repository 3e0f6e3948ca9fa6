#!lua
-- revoke: settles a batch whose answer never came and whose callers were told 503. If it was decided,
-- what it took is put back; if not, its number is barred, so that it can never run.
--
-- It touches only what this batch itself did, and what nobody has been told since: an answer to a
-- repeated request keeps its charge. The last revoke of those who did not get that answer takes it back.
--
-- KEYS  meta        string  the partition's generation, clock, counts and last entry
--       stream      stream  change records that Postgres does not have yet, and a tail
--       memo        string  number and reply of this slot's last batch
--       reversed    hash    charges that were reversed: account and number
--       account…    string  the accounts of the batch, in the batch's order
--       other…      string  the others of the batch, in the batch's order
--       holds       zset    open holds by their expiry; named only where there are others
-- ARGV  generation  the life of the partition that the gateway knows
--       partitions  their number, fixed for a generation
--       slot        the slot's name, for the entry
--       batch       the number of the batch to revoke
--       entry       8 random bytes that name the entry
--       items       the items of the batch, as they were sent
--       accounts    how many of KEYS are accounts
-- RETURN revoked     what it took is put back; or this revoke has been carried out before
--        barred      it never ran, and never will
--        fenced      this Redis is not the generation that the gateway knows: nothing was written
--        slot_closed no such slot: nothing was written
--        ahead       batches of this slot are missing here, or a later one was decided
local META, ACCOUNT, ITEM = "<I4I2I8I8I8I8c8I8I4", "<I8I8I8I4I4B", "<I2I2I8I4I2"
local REPLY, RECORD = "<BI8I8I8", "<c16BI8I8I8I2"
local ACCOUNT_BYTES, KIND_REVERSAL, ACCEPTED, REPLAYED = 33, 37, 0, 7
local pack, unpack_from, sub = struct.pack, struct.unpack, string.sub

local stream, memo_key, account_count = KEYS[2], KEYS[3], tonumber(ARGV[7])
local has_others = #KEYS > 4 + account_count
local found = redis.call("MGET", KEYS[1], memo_key, unpack(KEYS, 5, has_others and #KEYS - 1 or #KEYS))
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
local decided_at, answer_at = unpack_from("<I8", reply), 33

local account = {}
for i = 1, account_count do
  if found[i + 2] then account[i] = { unpack_from(ACCOUNT, found[i + 2]) } end
end

local HOLD, VOID = 1, 3
local KEYED, LIMITED, SERVICE = 4, 16, 32
local EXTRA, COUNTER = "<I8I8I4I4I2", "<I4I4I8I4I8I8I8I8"
local RESULT, RESULT_BYTES, CHARGED, ORPHANED = "<BBc6I8I8I8I6I6", 44, 1, 16
local HOLD_HEAD, IS_OPEN = "<BI8I8", 1
local band, floor = bit.band, math.floor
local others = 2 + account_count
local value, changed, opened, closed, marks = {}, {}, {}, {}, {}
local is_opened = {}
local records, touched = {}, {}

local function read(place)
  if place == 0 then return nil end
  if value[place] == nil then value[place] = found[others + place] end
  return value[place]
end

local function put(place, text) value[place], changed[place] = text, true end
local function key_of(place) return KEYS[4 + account_count + place] end

-- The movement back; false where somebody has reversed this very record before.
local function reverse(i, amount, number, moved_at, details)
  local mark = sub(KEYS[i + 4], -16) .. string.format("%.0f", number)
  if marks[mark] or redis.call("HEXISTS", KEYS[4], mark) == 1 then return false end
  marks[mark], touched[i] = true, true
  local state = account[i]
  state[1], state[3] = state[1] + amount, state[3] + 1
  local told = pack("<I8I8", number, moved_at) .. details
  records[#records + 1] =
    pack(RECORD, sub(KEYS[i + 4], -16), KIND_REVERSAL, state[3], amount, state[1], #told) .. told
  return true
end

-- Days and months of Asia/Shanghai, as in decide.lua.
local function day_and_month(when)
  local day = floor((when + 28800000) / 86400000)
  local z = day + 719468
  local era = floor(z / 146097)
  local of_era = z - era * 146097
  local year = floor((of_era - floor(of_era / 1460) + floor(of_era / 36524) - floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + floor(year / 4) - floor(year / 100))
  return day, (year + era * 400) * 12 + floor((5 * of_year + 2) / 153) + 2
end

-- The budgets of a key get back what was counted, in the day and month in which that was.
local function give_back(place, version, when, amount, calls)
  local counter = read(place)
  if not counter then return end
  local made, today, spent_day, this_month, spent_month, spent, tokens, tokens_at =
    unpack_from(COUNTER, counter)
  if made ~= version then return end
  local day, month = day_and_month(when)
  if today == day then spent_day = math.max(0, spent_day - amount) end
  if this_month == month then spent_month = math.max(0, spent_month - amount) end
  put(place, pack(COUNTER, made, today, spent_day, this_month, spent_month, math.max(0, spent - amount),
    tokens + 1000 * calls, tokens_at))
end

-- True where the result is gone and the movement must be taken back; else whoever was told keeps it.
local function forget(place, number)
  local result = read(place)
  if not result then return true end
  local state, told, _, _, _, its_number = unpack_from(RESULT, result)
  if its_number ~= number then return true end
  if told > 0 then
    put(place, pack("B", state % ORPHANED + ORPHANED) .. sub(result, 2))
    return false
  end
  put(place, false)
  return true
end

-- A repeated request that got its answer in this batch: one less who was told. Answers the movement
-- that nobody at all was told of.
local function untell(place, number, tail)
  local result = read(place)
  if not result then return nil end
  local state, told, _, _, _, its_number, amount, moved_at = unpack_from(RESULT, result)
  if its_number ~= number or sub(result, RESULT_BYTES + 1) ~= tail then return nil end
  if told == 0 or told == 255 then return nil end
  if told > 1 or state ~= CHARGED + ORPHANED then
    put(place, pack("BB", state, told - 1) .. sub(result, 3))
    return nil
  end
  put(place, false)
  return amount, moved_at
end

-- A captured hold is open again, with what its capture took: the rest may have been spent since. False
-- where nothing is kept of it.
local function reopen(i, place, taken)
  local hold = read(place)
  if not hold then return false end
  local _, _, expires = unpack_from(HOLD_HEAD, hold)
  put(place, pack("<BI8", IS_OPEN, taken) .. sub(hold, 10))
  account[i][2] = account[i][2] + taken
  opened[sub(key_of(place), -32)], is_opened[place] = expires, true
  return true
end

-- What the hold had; nil where somebody was told of it, or it was resolved before: by the system, as its
-- time was over.
local function undo_hold(i, key_place, hold_place)
  local hold, result, name = read(hold_place), read(key_place), sub(key_of(hold_place), -32)
  local state, reserved
  if hold then state, reserved = unpack_from(HOLD_HEAD, hold) end
  -- A result names its hold; or none, while its call runs.
  local named = result and sub(result, RESULT_BYTES + 1)
  local is_its_own = named == name or named == "" and state == IS_OPEN
  if is_its_own and not forget(key_place, 0) or state ~= IS_OPEN then return nil end
  account[i][2], touched[i] = account[i][2] - reserved, true
  put(hold_place, false)
  closed[#closed + 1] = name
  return reserved
end

local function undo_spending(verb, i, amount, outcome, number, details, key_place, limits, hold_place, tail)
  local moved_at = decided_at
  if outcome == REPLAYED then
    amount, moved_at = untell(key_place, number, tail)
    if not amount then return end
    reverse(i, amount, number, moved_at, details)
  elseif outcome ~= ACCEPTED then
    return
  elseif verb == HOLD then
    amount = undo_hold(i, key_place, hold_place)
    if not amount then return end
  else
    if not forget(key_place, number) then return end
    reverse(i, amount, number, moved_at, details)
  end
  if not limits then return end
  local place, version = unpack_from("<I2I4", limits)
  give_back(place, version, moved_at, amount, 1)
end

-- `day` and `version` say where the hold had counted, if it had.
local function undo_capture(i, outcome, number, taken, details, places, day, version)
  local key_place, hold_place, counter_place, run_place = unpack(places)
  local moved_at = decided_at
  if outcome == REPLAYED then
    taken, moved_at = untell(key_place, number, details)
  elseif outcome ~= ACCEPTED or not forget(key_place, number) then
    return
  end
  if not taken then return end
  forget(run_place, number)
  if reverse(i, taken, number, moved_at, details) and reopen(i, hold_place, taken) then return end
  if day > 0 then give_back(counter_place, version, day * 86400000 - 28800000, taken, 0) end
end

local items, at, bytes = ARGV[6], 1, #ARGV[6]
while at <= bytes do
  local flags, i, amount, length, _
  flags, i, amount, _, length, at = unpack_from(ITEM, items, at)
  local details = sub(items, at, at + length - 1)
  at = at + length
  local outcome, number
  outcome, _, _, number, answer_at = unpack_from(REPLY, reply, answer_at)
  if flags == 0 then
    if outcome == ACCEPTED then reverse(i, amount, number, decided_at, details) end
  else
    local taken, day, version, tail_length, tail
    taken, _, day, version, tail_length, answer_at = unpack_from(EXTRA, reply, answer_at)
    tail = sub(reply, answer_at, answer_at + tail_length - 1)
    answer_at = answer_at + tail_length
    local verb, key_place, limits, hold_place = band(flags, 3), 0, nil, 0
    if band(flags, KEYED) > 0 then key_place, _, at = unpack_from("<I2c6", items, at) end
    if verb <= HOLD then
      if band(flags, LIMITED) > 0 then limits, at = unpack_from("c42", items, at) end
      if band(flags, SERVICE) > 0 then _, at = unpack_from("<I4", items, at) end
      if verb == HOLD then hold_place, _, at = unpack_from("<I2I8", items, at) end
      undo_spending(verb, i, amount, outcome, number, details, key_place, limits, hold_place, tail)
    else
      local counter_place, run_place
      hold_place, counter_place, run_place, at = unpack_from("<I2I2I2", items, at)
      -- A void stays: it gave back, and took nothing.
      if verb < VOID then
        local places = { key_place, hold_place, counter_place, run_place }
        undo_capture(i, outcome, number, taken, tail, places, day, version)
      end
    end
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
  writes[#writes + 1] = KEYS[i + 4]
  writes[#writes + 1] = pack(ACCOUNT, s[1], s[2], s[3], s[4], s[5], s[6])
    .. sub(found[i + 2], ACCOUNT_BYTES + 1)
end
redis.call("MSET", unpack(writes))
for mark in pairs(marks) do redis.call("HSET", KEYS[4], mark, 1) end
for place in pairs(changed) do
  if is_opened[place] then
    redis.call("SET", key_of(place), value[place])
  elseif value[place] then
    redis.call("SET", key_of(place), value[place], "KEEPTTL")
  else
    redis.call("DEL", key_of(place))
  end
end
for name, expires in pairs(opened) do
  redis.call("ZADD", KEYS[#KEYS], string.format("%.0f", expires), name)
end
if #closed > 0 then redis.call("ZREM", KEYS[#KEYS], unpack(closed)) end
return { "revoked" }
