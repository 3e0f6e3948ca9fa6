#!lua
-- seed_counter: gives the counter of an API key's limits what the key has spent so far, as the record
-- knows it. A counter of this version, or of a later one, is left as it is.
--
-- KEYS  meta        string  the partition's generation, clock, counts and last entry
--       counter     string  version, day, spent, month, spent, spent in all, tokens and their time
-- ARGV  generation  the life of the partition that the caller knows
--       partitions  their number, fixed for a generation
--       version     which life of the counter
--       day         days since 1970 in Asia/Shanghai, and what was spent on that day
--       day_fen
--       month       year * 12 + month - 1 in Asia/Shanghai, and what was spent in that month
--       month_fen
--       total_fen   what was spent ever
-- RETURN seeded      the counter is there
--        fenced      this Redis is not the generation that the caller knows: nothing was written
local COUNTER = "<I4I4I8I4I8I8I8I8"
local found = redis.call("MGET", KEYS[1], KEYS[2])
if not found[1] then return { "fenced" } end
local generation, partitions = struct.unpack("<I4I2", found[1])
if generation ~= tonumber(ARGV[1]) or partitions ~= tonumber(ARGV[2]) then return { "fenced" } end

local version = tonumber(ARGV[3])
if found[2] and struct.unpack("<I4", found[2]) >= version then return { "seeded" } end
-- From here on it must succeed: everything was read and checked. Its calls per second begin full.
redis.call("SET", KEYS[2], struct.pack(COUNTER, version, tonumber(ARGV[4]), tonumber(ARGV[5]),
  tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), 0, 0))
return { "seeded" }
