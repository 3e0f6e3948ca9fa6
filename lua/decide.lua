#!lua
-- decide: decides a batch of charges, holds, captures and voids. Each moves what it asks for and is recorded,
-- or is refused and changes nothing; a batch that was decided before gets its first answer.
--
-- KEYS  meta        string  the partition's generation, clock, counts and last entry
--       stream      stream  change records that Postgres does not have yet, and a tail
--       memo        string  number and reply of this slot's last batch
--       account…    string  the packed state of each account that an item names, by its place here
--       other…      string  results of keyed requests, counters of API keys, holds, by their place
--       holds       zset    open holds by their expiry; named only where there are others
-- ARGV  generation  the life of the partition that the gateway knows
--       partitions  their number, fixed for a generation
--       unflushed   records written and not flushed from which on charges and holds are refused; captures
--                   from twice as many on. 0: Redis is short of memory
--       slot        the slot's name, for the entry
--       batch       1, 2, 3 … per slot
--       entry       8 random bytes that name the entry
--       items       per item, packed: flags, account's place, amount, auth version, length, details, more
--       accounts    how many of KEYS are accounts
--       kept        ms for which the result of a keyed request, and a resolved hold, are kept
-- RETURN done        reply: batch time in ms, last entry's number, records written, its id; then the items'
--        fenced      this Redis is not the generation that the gateway knows: nothing was written
--        slot_closed no such slot: nothing was written
--        barred      the batch was revoked, or a later one was decided: nothing was written
--        ahead       batches of this slot are missing here: Redis lost data
--        saturated   Postgres is far too far behind, for captures too: nothing was written
-- ITEM  0 accepted  1 account_unknown  2 account_frozen  3 account_closed  4 auth_changed
--       5 insufficient_balance  6 service_changed  7 replayed  8 idempotency_key_reused
--       9 request_in_progress  10 already_charged  11 key_expired  12 daily  13 monthly  14 total
--       15 rate_limited  16 counter_missing  17 hold_not_found  18 hold_already_resolved
--       19 hold_expired  20 capture_exceeds_hold  21 hold_not_due  22 saturated
--       23 replayed, of an item of this very batch
local META, ACCOUNT, ITEM = "<I4I2I8I8I8I8c8I8I4", "<I8I8I8I4I4B", "<I2I2I8I4I2"
local REPLY, RECORD = "<BI8I8I8", "<c16BI8I8I8I2"
-- Balance, held and number stand first in a state; what follows them stays as it was.
local MONEY, MONEY_BYTES, OPEN, FROZEN = "<I8I8I8", 24, 1, 2
local KIND_CHARGE, KIND_CAPTURE, KIND_KEYED_CHARGE, KIND_KEYED_CAPTURE, KIND_TOLD = 1, 2, 3, 4, 67
local pack, unpack_from, sub = struct.pack, struct.unpack, string.sub

local stream, memo_key, account_count = KEYS[2], KEYS[3], tonumber(ARGV[8])
local has_others = #KEYS > 3 + account_count
local found = redis.call("MGET", KEYS[1], memo_key, unpack(KEYS, 4, has_others and #KEYS - 1 or #KEYS))
local meta, memo = found[1], found[2]
if not meta then return { "fenced" } end
local generation, partitions, clock, written, flushed, entry_number, entry_before, entry_flushed, services =
  unpack_from(META, meta)
if generation ~= tonumber(ARGV[1]) or partitions ~= tonumber(ARGV[2]) then return { "fenced" } end

if not memo then return { "slot_closed" } end
local batch, decided = tonumber(ARGV[5]), unpack_from("<I8", memo)
if batch <= decided then
  if batch ~= decided or #memo == 8 then return { "barred" } end
  -- From here on it must succeed: the memo is written again, so that a WAIT behind it counts it too.
  redis.call("SET", memo_key, memo)
  return { "done", sub(memo, 9) }
end
if batch ~= decided + 1 then return { "ahead" } end
-- A capture's upstream has run: it may pass up to twice the bound.
local unflushed, bound = written - flushed, tonumber(ARGV[3])
if bound > 0 and unflushed >= 2 * bound then return { "saturated" } end
local is_saturated = unflushed >= bound

local time = redis.call("TIME")
local now = math.max(time[1] * 1000 + math.floor(time[2] / 1000), clock)

local balance, held, seq, auth, status = {}, {}, {}, {}, {}
for i = 1, account_count do
  local state, _ = found[i + 2]
  if state then balance[i], held[i], seq[i], _, auth[i], status[i] = unpack_from(ACCOUNT, state) end
end

local items, at, bytes = ARGV[7], 1, #ARGV[7]
local answers, records, answer_count, record_count, told_count, is_changed = {}, {}, 0, 0, 0, false

-- Special items alone need what follows: `set` and `kept` hold what their keys will be, `kept` for a while.
local CHARGE, HOLD, CAPTURE, VOID, EXTRA = 0, 1, 2, 3, "<I8I8I4I4I2"
local value, set, kept, is_fresh, deleted, opened, closed, spend, resolve
local function open_specials()
  local function record(i, kind, amount, details)
    record_count = record_count + 1
    records[2 * record_count - 1] =
      pack(RECORD, sub(KEYS[i + 3], -16), kind, seq[i], amount, balance[i], #details)
    records[2 * record_count] = details
  end

  local KEYED, ONCE, LIMITED, SERVICE, UNVERIFIED, INTERNAL, EXPIRY = 4, 8, 16, 32, 64, 128, 256
  local LIMITS, COUNTER = "<I2I4I8I8I8I4I8", "<I4I4I8I4I8I8I8I8"
  local RESULT, RESULT_BYTES, CHARGED, HELD, RUNNING, VOIDED = "<BBc6I8I8I8I6I6", 44, 1, 2, 3, 4
  local HOLD_STATE, HOLD_BYTES = "<BI8I8BI4I4I4c16c16", 62
  local IS_OPEN, IS_CAPTURED, IS_VOIDED, IS_EXPIRED = 1, 2, 3, 4
  local NO_NAME = string.rep(" ", 16)
  local band, floor, ceil = bit.band, math.floor, math.ceil
  local others = 2 + account_count
  value, set, kept, is_fresh, deleted, opened, closed = {}, {}, {}, {}, {}, {}, {}
  local day, month

  local function read(place)
    if value[place] == nil then value[place] = found[others + place] end
    return value[place]
  end

  local function name_of(place) return sub(KEYS[3 + account_count + place], -16) end

  local function keep(place, text)
    value[place], kept[place] = text, text
  end

  -- Days and months of Asia/Shanghai, which has no summer time: days since 1970, and year * 12 + month.
  local function find_today()
    if day then return end
    day = floor((now + 28800000) / 86400000)
    local z = day + 719468
    local era = floor(z / 146097)
    local of_era = z - era * 146097
    local year = floor((of_era - floor(of_era / 1460) + floor(of_era / 36524) - floor(of_era / 146096)) / 365)
    local of_year = of_era - (365 * year + floor(year / 4) - floor(year / 100))
    local from_march = floor((5 * of_year + 2) / 153)
    month = (year + era * 400) * 12 + from_march + 2
  end

  -- Outcome where a limit stands against the amount; else nil, and what the counter becomes. Then what
  -- is left of the calls per second: after this call, or as it is where this one is not counted.
  local function check_limits(limits, amount, is_counted)
    local place, version, daily, monthly, total, rate, expires = unpack_from(LIMITS, limits)
    if expires > 0 and now >= expires then return 11 end
    if place == 0 then return nil end
    local counter = read(place)
    if not counter then return 16 end
    find_today()
    local made, today, spent_day, this_month, spent_month, spent, tokens, tokens_at =
      unpack_from(COUNTER, counter)
    if made ~= version then return 16 end
    if today ~= day then spent_day = 0 end
    if this_month ~= month then spent_month = 0 end
    local left, reset = 0, 0
    if rate > 0 then
      tokens = math.min(rate * 1000, tokens + (now - tokens_at) * rate)
      left, reset = floor(tokens / 1000), ceil((1000 - tokens) / rate)
      if tokens < 1000 then return 15, nil, 0, reset end
      reset = ceil((rate * 1000 - tokens) / rate)
    end
    if daily > 0 and spent_day + amount > daily then return 12, nil, left, reset end
    if monthly > 0 and spent_month + amount > monthly then return 13, nil, left, reset end
    if total > 0 and spent + amount > total then return 14, nil, left, reset end
    if rate > 0 then tokens_at = now end
    if rate > 0 and is_counted then
      tokens, left = tokens - 1000, left - 1
      reset = ceil(((left > 0 and rate * 1000 or 1000) - tokens) / rate)
    end
    return nil, pack(COUNTER, version, day, spent_day + amount, month, spent_month + amount, spent + amount,
      tokens, tokens_at), left, reset
  end

  -- What a hold reserved and did not take goes back to the budgets of its key.
  local function give_back(place, hold_day, hold_month, version, amount)
    local counter = place > 0 and read(place)
    if not counter or amount == 0 then return end
    local made, today, spent_day, this_month, spent_month, spent, tokens, tokens_at =
      unpack_from(COUNTER, counter)
    if made ~= version then return end
    if today == hold_day then spent_day = math.max(0, spent_day - amount) end
    if this_month == hold_month then spent_month = math.max(0, spent_month - amount) end
    value[place] = pack(COUNTER, made, today, spent_day, this_month, spent_month,
      math.max(0, spent - amount), tokens, tokens_at)
    set[place] = value[place]
  end

  -- The answer to a request whose key is known already; nil where it is not.
  local function repeated(place, print, is_once, i)
    local result = read(place)
    if not result then return nil end
    local state, told, first, b, h, number, amount, then_at = unpack_from(RESULT, result)
    if first ~= print then return { 8, 0, 0, 0, 0, 0, "" } end
    if state == RUNNING then return { 9, 0, 0, 0, 0, 0, "" } end
    if is_once then return { 10, b, h, number, amount, then_at, "" } end
    local tail = sub(result, RESULT_BYTES + 1)
    if is_fresh[place] then return { 23, b, h, number, amount, then_at, tail } end
    -- A revoke must not take back what somebody has been told: it counts these. The first is recorded too.
    local is_first = told == 0 and state == CHARGED and balance[i]
    if is_first then record(i, KIND_TOLD, 0, pack("<I8", number)) end
    told_count = told_count + (is_first and 1 or 0)
    keep(place, pack("<BB", state, math.min(255, told + 1)) .. sub(result, 3))
    return { 7, b, h, number, amount, then_at, tail }
  end

  -- What a rebuild needs of a keyed request stands in its record.
  local function keyed(place, print, held_then)
    return pack("<c16c6I8", name_of(place), print, held_then)
  end

  local function remember(place, state, print, i, number, amount, when, tail)
    keep(place, pack(RESULT, state, 0, print, balance[i], held[i], number, amount, when) .. tail)
    is_fresh[place] = true
  end

  function spend(verb, flags, i, amount, version, details)
    local key_place, print, limits, service, hold_place, ttl = 0, "", nil, 0, 0, 0
    if band(flags, KEYED) > 0 then key_place, print, at = unpack_from("<I2c6", items, at) end
    if band(flags, LIMITED) > 0 then limits, at = unpack_from("c42", items, at) end
    if band(flags, SERVICE) > 0 then service, at = unpack_from("<I4", items, at) end
    if verb == HOLD then hold_place, ttl, at = unpack_from("<I2I8", items, at) end

    local before = balance[i]
    if not before then return { 1, 0, 0, 0, 0, 0, "" } end
    local b, h = before, held[i]
    if status[i] ~= OPEN then return { status[i] == FROZEN and 2 or 3, b, h, 0, 0, 0, "" } end
    if band(flags, UNVERIFIED) == 0 and auth[i] ~= version then return { 4, b, h, auth[i], 0, 0, "" } end
    if band(flags, SERVICE) > 0 and service ~= services then return { 6, b, h, services, 0, 0, "" } end
    local is_once = band(flags, ONCE) > 0
    local answer = key_place > 0 and repeated(key_place, print, is_once, i)
    local is_possible = not answer and not is_saturated and before - h >= amount
    local outcome, counter, left, reset
    if limits then outcome, counter, left, reset = check_limits(limits, amount, is_possible) end
    if answer then
      answer[8], answer[9] = left, reset
      return answer
    end
    if is_saturated then outcome = 22 end
    if not outcome and not is_possible then outcome = 5 end
    if outcome then return { outcome, b, h, seq[i], 0, 0, "", left, reset } end

    is_changed = true
    local counter_place, counter_version = 0, 0
    if counter then
      counter_place, counter_version = unpack_from("<I2I4", limits)
      value[counter_place], set[counter_place] = counter, counter
    end
    if verb == CHARGE then
      balance[i], seq[i] = before - amount, seq[i] + 1
      if key_place > 0 then
        record(i, KIND_KEYED_CHARGE, amount, keyed(key_place, print, h) .. details)
        remember(key_place, CHARGED, print, i, seq[i], amount, now, "")
      else
        record(i, KIND_CHARGE, amount, details)
      end
      return { 0, balance[i], h, seq[i], amount, now, "", left, reset }
    end
    held[i] = h + amount
    local expires, is_internal = now + ttl, band(flags, INTERNAL)
    if counter then find_today() end
    local state = pack(HOLD_STATE, IS_OPEN, amount, expires, is_internal > 0 and 1 or 0, day or 0, month or 0,
      counter_version, counter and name_of(counter_place) or NO_NAME,
      is_once and key_place > 0 and name_of(key_place) or NO_NAME) .. details
    value[hold_place], set[hold_place] = state, state
    local name = sub(KEYS[3 + account_count + hold_place], -32)
    opened[name] = expires
    if key_place > 0 then
      remember(key_place, is_once and RUNNING or HELD, print, i, 0, amount, expires, is_once and "" or name)
    end
    return { 0, b, held[i], 0, amount, expires, name, left, reset }
  end

  function resolve(verb, flags, i, amount)
    local key_place, print, hold_place, counter_place, run_place = 0, ""
    if band(flags, KEYED) > 0 then key_place, print, at = unpack_from("<I2c6", items, at) end
    hold_place, counter_place, run_place, at = unpack_from("<I2I2I2", items, at)

    local answer = key_place > 0 and repeated(key_place, print, false, i)
    if answer then return answer end
    local hold, b, h = read(hold_place), balance[i] or 0, held[i] or 0
    if not hold or not balance[i] then return { 17, b, h, 0, 0, 0, "" } end
    local state, reserved, expires, is_internal, hold_day, hold_month, version, counter_name, run_name =
      unpack_from(HOLD_STATE, hold)
    if state ~= IS_OPEN then return { state == IS_EXPIRED and 19 or 18, b, h, 0, 0, 0, "" } end
    local is_expiry = band(flags, EXPIRY) > 0
    if is_expiry and now < expires then return { 21, b, h, 0, 0, 0, "" } end
    if verb == CAPTURE and now >= expires then return { 19, b, h, 0, 0, 0, "" } end
    if amount > reserved then return { 20, b, h, 0, reserved, 0, "" } end

    is_changed = true
    local taken = verb == VOID and 0 or amount > 0 and amount or reserved
    local details = sub(hold, HOLD_BYTES + 1)
    held[i] = h - reserved
    local is_run = run_place > 0 and name_of(run_place) == run_name and read(run_place)
    local first = is_run and sub(is_run, 3, 8)
    if taken > 0 then
      balance[i], seq[i] = b - taken, seq[i] + 1
      local named = key_place > 0 and keyed(key_place, print, held[i])
        or first and keyed(run_place, first, held[i])
      record(i, named and KIND_KEYED_CAPTURE or KIND_CAPTURE, taken, (named or "") .. details)
    end
    local is_counted = counter_place > 0 and name_of(counter_place) == counter_name
    if is_counted then give_back(counter_place, hold_day, hold_month, version, reserved - taken) end
    closed[#closed + 1] = sub(KEYS[3 + account_count + hold_place], -32)
    if is_internal > 0 then
      value[hold_place], set[hold_place], deleted[hold_place] = false, nil, true
    else
      local now_is = verb == CAPTURE and IS_CAPTURED or is_expiry and IS_EXPIRED or IS_VOIDED
      set[hold_place] = nil
      keep(hold_place, pack("B", now_is) .. sub(hold, 2))
      is_fresh[hold_place] = true
    end
    if first and taken > 0 then
      remember(run_place, CHARGED, first, i, seq[i], taken, now, "")
    elseif first then
      value[run_place], kept[run_place], deleted[run_place] = false, nil, true
    end
    local tail = verb == CAPTURE and details or ""
    if key_place > 0 then
      remember(key_place, verb == CAPTURE and CHARGED or VOIDED, print, i, seq[i], taken, now, tail)
    end
    -- A revoke that finds the hold gone gives back what was taken where the hold had counted it.
    return { 0, balance[i], held[i], seq[i], taken, now, tail, is_counted and hold_day,
      is_counted and version }
  end
end

while at <= bytes do
  local flags, i, amount, version, length
  flags, i, amount, version, length, at = unpack_from(ITEM, items, at)
  local details = sub(items, at, at + length - 1)
  at = at + length
  answer_count = answer_count + 1
  if flags > 0 then
    if not spend then open_specials() end
    local verb = flags % 4
    local a = verb < CAPTURE and spend(verb, flags, i, amount, version, details)
      or resolve(verb, flags, i, amount)
    answers[answer_count] = pack(REPLY, a[1], a[2], a[3], a[4])
      .. pack(EXTRA, a[5], a[6], a[8] or 0, a[9] or 0, #a[7]) .. a[7]
  else
    local outcome, number
    local before = balance[i]
    if not before then
      outcome = 1
    elseif status[i] ~= OPEN then
      outcome = status[i] == FROZEN and 2 or 3
    elseif auth[i] ~= version then
      outcome, number = 4, auth[i]
    elseif is_saturated then
      outcome = 22
    elseif before - held[i] < amount then
      outcome, number = 5, seq[i]
    else
      outcome, number, is_changed = 0, seq[i] + 1, true
      balance[i], seq[i] = before - amount, number
      record_count = record_count + 1
      records[2 * record_count - 1] =
        pack(RECORD, sub(KEYS[i + 3], -16), KIND_CHARGE, number, amount, before - amount, length)
      records[2 * record_count] = details
    end
    answers[answer_count] = pack(REPLY, outcome, balance[i] or 0, held[i] or 0, number or 0)
  end
end
if record_count > 0 then
  local id = redis.call("XADD", stream, "NOMKSTREAM", ARGV[1] .. "-*", "id", ARGV[6],
    "prev", entry_before, "slot", ARGV[4], "batch", ARGV[5],
    "at", string.format("%.0f", now), "records", table.concat(records))
  if not id then return { "fenced" } end
  entry_number, entry_before = entry_number + 1, ARGV[6]
end
-- From here on the batch must succeed: everything was read and checked, and the append is written.
written = written + record_count - told_count
local reply = pack("<I8I8I8c8", now, entry_number, written, entry_before) .. table.concat(answers)
local writes = {
  KEYS[1], pack(META, generation, partitions, now, written, flushed, entry_number,
    entry_before, entry_flushed, services),
  memo_key, pack("<I8", batch) .. reply,
}
local last = #writes
if is_changed then
  for i = 1, account_count do
    if balance[i] then
      local rest = sub(found[i + 2], MONEY_BYTES + 1)
      writes[last + 1] = KEYS[i + 3]
      writes[last + 2] = pack(MONEY, balance[i], held[i], seq[i]) .. rest
      last = last + 2
    end
  end
end
if not spend then
  redis.call("MSET", unpack(writes))
  return { "done", reply }
end

for place, text in pairs(set) do
  writes[last + 1], writes[last + 2] = KEYS[3 + account_count + place], text
  last = last + 2
end
redis.call("MSET", unpack(writes))
for place, text in pairs(kept) do
  local key = KEYS[3 + account_count + place]
  if is_fresh[place] then
    redis.call("SET", key, text, "PX", ARGV[9])
  else
    redis.call("SET", key, text, "KEEPTTL")
  end
end
for place in pairs(deleted) do
  if not value[place] then redis.call("DEL", KEYS[3 + account_count + place]) end
end
local members, gone = {}, {}
for name, expires in pairs(opened) do
  members[#members + 1] = string.format("%.0f", expires)
  members[#members + 1] = name
end
if #members > 0 then redis.call("ZADD", KEYS[#KEYS], unpack(members)) end
for _, name in ipairs(closed) do gone[#gone + 1] = name end
if #gone > 0 then redis.call("ZREM", KEYS[#KEYS], unpack(gone)) end
return { "done", reply }
