#!lua
-- forget_result: lets a request run anew whose callers were told 503, although it had been decided, in a
-- generation that is over. Its charge is then reversed by an instruction.
--
-- KEYS  meta        string  the partition's generation, clock, counts and last entry
--       result      string  of the keyed request
-- ARGV  generation  the life of the partition that the caller knows
--       partitions  their number, fixed for a generation
--       number      of the change record of the charge
-- RETURN forgotten   nobody is told of that charge any more
--        told        somebody was told of it since, so that it stands: nothing was written
--        fenced      this Redis is not the generation that the caller knows: nothing was written
local found = redis.call("MGET", KEYS[1], KEYS[2])
if not found[1] then return { "fenced" } end
local generation, partitions = struct.unpack("<I4I2", found[1])
if generation ~= tonumber(ARGV[1]) or partitions ~= tonumber(ARGV[2]) then return { "fenced" } end

if not found[2] then return { "forgotten" } end
local _, told, _, _, _, number = struct.unpack("<BBc6I8I8I8", found[2])
if number ~= tonumber(ARGV[3]) then return { "forgotten" } end
if told > 0 then return { "told" } end
-- From here on it must succeed: everything was read and checked.
redis.call("DEL", KEYS[2])
return { "forgotten" }
