#!lua
-- open_slot: gives one gateway process its slot in one partition, through which it sends batches.
--
-- KEYS  meta        string  the partition's generation, clock, counts and last entry
--       memo        string  number and reply of the slot's last batch; must not exist yet
--       stream      stream  change records that Postgres does not have yet, and a tail
-- ARGV  generation  the life of the partition that the gateway knows
--       partitions  their number, fixed for a generation
--       entry       number of the highest entry of this generation that the process has seen; 0: none
--       id          the 8 bytes that name it
-- RETURN opened      the slot's next batch is number 1
--        fenced      this Redis is not the generation that the gateway knows: nothing was written
--        taken       a slot of this name is open already: nothing was written
--        ahead       the entry that the process has seen is not here: Redis lost data
local meta = redis.call("GET", KEYS[1])
if not meta then return { "fenced" } end
local generation, partitions, _, _, _, last = struct.unpack("<I4I2I8I8I8I8", meta)
if generation ~= tonumber(ARGV[1]) or partitions ~= tonumber(ARGV[2]) then return { "fenced" } end

local seen = tonumber(ARGV[3])
if seen > last then return { "ahead" } end
if seen > 0 then
  local at = ARGV[1] .. "-" .. string.format("%.0f", seen)
  local entry = redis.call("XRANGE", KEYS[3], at, at)[1]
  -- One that was trimmed was flushed.
  if entry and entry[2][2] ~= ARGV[4] then return { "ahead" } end
end
if redis.call("EXISTS", KEYS[2]) == 1 then return { "taken" } end
-- From here on it must succeed: everything was read and checked.
redis.call("SET", KEYS[2], struct.pack("<I8", 0))
return { "opened" }
