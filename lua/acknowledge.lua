#!lua
-- acknowledge: notes how far Postgres has committed the stream, and trims what is no longer needed.
--
-- KEYS  meta        string  the partition's generation, clock, counts and last entry
--       stream      stream  change records that Postgres does not have yet, and a tail
-- ARGV  generation  the life of the partition that was flushed
--       entry       number of the last entry that Postgres committed
--       records     change records that Postgres has of this generation's meta, in total
--       trim        entries up to this number leave the stream; the last committed one always stays,
--                   because whoever opens the ledger compares it with Postgres
-- RETURN acknowledged noted; an older acknowledgement changes nothing
--        fenced       this Redis is not the generation that was flushed: nothing was written
--        ahead        Postgres has entries that this stream never had: Redis lost data
local META = "<I4I2I8I8I8I8c8I8I4"
local meta = redis.call("GET", KEYS[1])
if not meta then return { "fenced" } end
local generation, partitions, clock, written, _, entry_number, entry_before, entry_flushed, services =
  struct.unpack(META, meta)
if generation ~= tonumber(ARGV[1]) then return { "fenced" } end

local entry, records, trim = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if entry > entry_number or records > written then return { "ahead" } end
-- From here on it must succeed: everything was read and checked.
if entry > entry_flushed then
  redis.call("SET", KEYS[1], struct.pack(META, generation, partitions, clock, written, records,
    entry_number, entry_before, entry, services))
end
if trim > 0 and trim < entry then
  redis.call("XTRIM", KEYS[2], "MINID", "=", ARGV[1] .. "-" .. string.format("%.0f", trim + 1))
end
return { "acknowledged" }
