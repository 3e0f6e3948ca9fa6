-- One charge on one account: what both builds with one EVALSHA per call run. The account is a hash,
-- its history a stream: one read, one write and one append, fewer than which it cannot do.
--
-- KEYS  account  hash: balance and seq, in fen and 1, 2, 3 …
--       changes  stream of all accounts
-- ARGV  amount   in fen
--       key      the API key's id
--       interface, quantity, request, description
-- RETURN after and number of the change, and its entry's id, which begins with the time in ms;
--        or, where the balance does not cover it, nothing and the balance
local found = redis.call("HMGET", KEYS[1], "balance", "seq")
local balance, amount = tonumber(found[1] or 0), tonumber(ARGV[1])
if balance < amount then return { false, string.format("%.0f", balance) } end
local after, seq = string.format("%.0f", balance - amount), string.format("%.0f", found[2] + 1)
redis.call("HSET", KEYS[1], "balance", after, "seq", seq)
local id = redis.call("XADD", KEYS[2], "*", "account", KEYS[1], "seq", seq, "amount", ARGV[1],
  "after", after, "key", ARGV[2], "interface", ARGV[3], "quantity", ARGV[4], "request", ARGV[5],
  "description", ARGV[6])
return { after, seq, id }
