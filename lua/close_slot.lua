#!lua
-- close_slot: ends a slot whose process stops in order with no batch unsettled, or has ended.
--
-- KEYS  memo        string  number and reply of the slot's last batch
-- ARGV  batch       the number of the last batch that the process knows to be settled; empty where
--                   the process has ended, so that nobody sends or revokes anything any more
-- RETURN closed      the slot is gone; batches that are still on their way find no slot
--        unsettled   its last batch is another one: nothing was written
local memo = redis.call("GET", KEYS[1])
if not memo then return { "closed" } end
if ARGV[1] ~= "" and struct.unpack("<I8", memo) ~= tonumber(ARGV[1]) then return { "unsettled" } end
-- From here on it must succeed: everything was read and checked.
redis.call("DEL", KEYS[1])
return { "closed" }
