#!lua
-- raise_services: tells a partition the version of the service keys, so that those verified under an
-- earlier one are dead at once. A version that is not higher changes nothing.
--
-- KEYS  meta        string  the partition's generation, clock, counts and last entry
-- ARGV  generation  the life of the partition that the caller knows
--       partitions  their number, fixed for a generation
--       version     of the service keys, as Postgres has it
-- RETURN raised      the partition has this version, or a higher one
--        fenced      this Redis is not the generation that the caller knows: nothing was written
local META = "<I4I2I8I8I8I8c8I8I4"
local meta = redis.call("GET", KEYS[1])
if not meta then return { "fenced" } end
local generation, partitions, clock, written, flushed, entry_number, entry_id, entry_flushed, services =
  struct.unpack(META, meta)
if generation ~= tonumber(ARGV[1]) or partitions ~= tonumber(ARGV[2]) then return { "fenced" } end

local version = tonumber(ARGV[3])
if version <= services then return { "raised" } end
-- From here on it must succeed: everything was read and checked.
redis.call("SET", KEYS[1], struct.pack(META, generation, partitions, clock, written, flushed, entry_number,
  entry_id, entry_flushed, version))
return { "raised" }
