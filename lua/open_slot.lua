#!lua
-- open_slot: gives one gateway process its slot in one partition, through which it sends batches.
--
-- KEYS  meta        string  the partition's generation, clock, counts and last entry
--       memo        string  number and reply of the slot's last batch; must not exist yet
-- ARGV  generation  the life of the partition that the gateway knows
--       partitions  their number, fixed for a generation
-- RETURN opened      the slot's next batch is number 1
--        fenced      this Redis is not the generation that the gateway knows: nothing was written
--        taken       a slot of this name is open already: nothing was written
local meta = redis.call("GET", KEYS[1])
if not meta then return { "fenced" } end
local generation, partitions = struct.unpack("<I4I2", meta)
if generation ~= tonumber(ARGV[1]) or partitions ~= tonumber(ARGV[2]) then return { "fenced" } end

if redis.call("EXISTS", KEYS[2]) == 1 then return { "taken" } end
-- From here on it must succeed: everything was read and checked.
redis.call("SET", KEYS[2], struct.pack("<I8", 0))
return { "opened" }
