#!lua
-- fence_partition: clears the generation in meta, so that every script of the partition refuses. Run by
-- recovery alone, after it has claimed the next generation and before it drains the one that was.
--
-- KEYS  meta        string  the partition's generation, clock, counts and last entry; may be absent
--       claim       string  the generation that is being built, and the one that was cleared
-- ARGV  claim       the generation that was claimed in Postgres
-- RETURN cleared     no script runs before this claim, or a later one, is opened
--        fenced      a later claim was here before: nothing was written
local meta, before = redis.call("GET", KEYS[1]), redis.call("GET", KEYS[2])
local claim, was = 0, 0
if before then claim, was = struct.unpack("<I4I4", before) end
if claim > tonumber(ARGV[1]) then return { "fenced" } end
local generation = meta and struct.unpack("<I4", meta) or 0
if generation >= tonumber(ARGV[1]) then return { "fenced" } end
if generation > 0 then was = generation end
-- From here on it must succeed: everything was read and checked.
redis.call("SET", KEYS[2], struct.pack("<I4I4", tonumber(ARGV[1]), was))
if meta then redis.call("SETRANGE", KEYS[1], 0, struct.pack("<I4", 0)) end
return { "cleared" }
