#!lua
-- open_partition: begins a generation, after its keys were built. Run by recovery alone, last of all.
--
-- KEYS  meta        string  absent, or of an earlier generation
--       stream      stream  of the new generation; its genesis entry is <generation>-0
--       claim       string  the generation that is being built
--       built       string  how many pages of it were written; absent: none
-- ARGV  generation  the one that was claimed in Postgres
--       partitions  their number, fixed for a generation
--       records     change records that Postgres has, so that written and flushed begin equal
--       entry       8 bytes that name the genesis entry, the predecessor of the first
--       clock       the last time used before, in ms; this generation's clock does not go below it
--       services    version of the service keys
--       pages       how many pages there are
-- RETURN opened      scripts may run now
--        fenced      a generation as high as this one is open, another one is being built, or something that
--                    was built is not there
local META = "<I4I2I8I8I8I8c8I8I4"
local generation = tonumber(ARGV[1])
local meta = redis.call("GET", KEYS[1])
if meta and struct.unpack("<I4", meta) >= generation then return { "fenced" } end
local claim = redis.call("GET", KEYS[3])
if not claim or struct.unpack("<I4", claim) ~= generation then return { "fenced" } end
if redis.call("EXISTS", KEYS[2]) == 0 then return { "fenced" } end
if tonumber(redis.call("GET", KEYS[4]) or 0) ~= tonumber(ARGV[7]) then return { "fenced" } end

local records = tonumber(ARGV[3])
-- From here on it must succeed: everything was read and checked.
redis.call("SET", KEYS[1], struct.pack(META, generation, tonumber(ARGV[2]), tonumber(ARGV[5]), records,
  records, 0, ARGV[4], 0, tonumber(ARGV[6])))
redis.call("DEL", KEYS[4])
return { "opened" }
