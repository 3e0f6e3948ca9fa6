-- The handler of POST /v1/charges in nginx: key from memory, body checked, one EVALSHA of charge.lua
-- on a connection of the worker's pool, the same answer as the others give.
local cjson = require("cjson.safe")
local redis = require("nginx.redis")
local known = require("bench.known")

local IDLE_MS, POOL, TIMEOUT_MS = 60000, 256, 5000
local FIELDS = { interface = true, quantity = true, description = true }

local function answer(status, body)
  ngx.status = status
  ngx.header["Content-Type"] = status == 200 and "application/json" or "application/problem+json"
  local text = cjson.encode(body)
  ngx.header["Content-Length"] = #text
  ngx.print(text)
  return ngx.exit(status)
end

local function cny(fen)
  return string.format("%d.%02d", math.floor(fen / 100), fen % 100)
end

local function read_call(text)
  local body = cjson.decode(text or "")
  if type(body) ~= "table" then return nil end
  for field in pairs(body) do
    if not FIELDS[field] then return nil end
  end
  local interface, quantity, description = body.interface, body.quantity or 1, body.description or ""
  if type(interface) ~= "string" or #interface < 1 or #interface > 64 then return nil end
  if type(quantity) ~= "number" or quantity % 1 ~= 0 or quantity < 1 or quantity > 1000000 then return nil end
  if type(description) ~= "string" or #description > 200 then return nil end
  return interface, quantity, description
end

local function decide(account, call)
  local connection = redis:new()
  connection:set_timeout(TIMEOUT_MS)
  local ok, failure = connection:connect(known.redis.host, known.redis.port)
  if not ok then return nil, failure end
  local reply, refusal = connection:evalsha(known.redis.sha, 2, "account:" .. account.id, "changes",
    call.amount, account.keyId, call.interface, call.quantity, call.request, call.description)
  if reply then connection:set_keepalive(IDLE_MS, POOL) end
  return reply, refusal
end

local authorization = ngx.var.http_authorization or ""
local account = known.accounts[string.sub(authorization, 8)]
if not account then return answer(401, { code = "invalid_credential" }) end
ngx.req.read_body()
local interface, quantity, description = read_call(ngx.req.get_body_data())
if not interface then return answer(422, { code = "validation_failed" }) end
local price = known.prices[interface]
if not price then return answer(404, { code = "unknown_interface" }) end

local amount, request = price * quantity, ngx.var.request_id
local reply, failure = decide(account, {
  amount = amount, interface = interface, quantity = quantity, request = request, description = description,
})
if not reply then
  ngx.log(ngx.ERR, failure)
  return answer(503, { code = "billing_unavailable" })
end
ngx.header["X-Request-Id"] = request
if reply[1] == ngx.null then
  return answer(402, { code = "insufficient_balance", balanceFen = tonumber(reply[2]), requestId = request })
end

local after, seq = tonumber(reply[1]), tonumber(reply[2])
local ms = tonumber(string.match(reply[3], "^%d+"))
local id = "chg_" .. account.id .. "_" .. reply[2]
ngx.header["X-Charge-Id"] = id
ngx.header["X-Charge-Fen"] = amount
ngx.header["X-Available-Fen"] = after
local balance = cny(after)
return answer(200, {
  chargeId = id,
  interface = interface,
  quantity = quantity,
  amountFen = amount,
  amount = cny(amount),
  balanceBeforeFen = after + amount,
  balanceBefore = cny(after + amount),
  balanceAfterFen = after,
  balanceAfter = balance,
  balanceFen = after,
  balance = balance,
  availableFen = after,
  available = balance,
  availableCalls = math.floor(after / price),
  seq = seq,
  at = os.date("!%Y-%m-%dT%H:%M:%S", math.floor(ms / 1000)) .. string.format(".%03dZ", ms % 1000),
})
