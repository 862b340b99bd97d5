-- Publish load with wrk: how many calls of POST /api/publish are answered a second.
--
--   SLUICE_HTTP_API_KEY=dev make run
--   API_KEY=dev wrk -t2 -c32 -d10s --latency -s bench/wrk/publish.lua http://127.0.0.1:8000/api/publish
--
-- Environment: API_KEY (dev), CHANNEL (bench), SIZE (128, bytes of text in the payload).
--
-- It measures the server API up to the reply, which is sent when the engine has the publication: Requests/sec, and the
-- latency of each call. The load is closed: each of the -c connections waits for its reply before the next call, so the
-- latencies are those at full speed, and a server that stalls is asked less often (coordinated omission).
--
-- It cannot measure delivery to subscribers: see fanout.sh for bytes, `go run ./bench fan-out` for lag.
local channel = os.getenv("CHANNEL") or "bench"
local size = tonumber(os.getenv("SIZE") or "128")

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-API-Key"] = os.getenv("API_KEY") or "dev"
wrk.body = string.format('{"channel":"%s","data":"%s"}', channel, string.rep("x", size))

local threads = {}

function setup(thread)
   table.insert(threads, thread)
end

function init()
   failed = 0 -- global: read by done in another state
   first = ""
end

-- Errors of the API are told with status 200.
function response(status, _, body)
   if status ~= 200 or body:sub(1, 9) ~= '{"result"' then
      failed = failed + 1
      if first == "" then first = status .. " " .. body end
   end
end

function done()
   local total, shown = 0, ""
   for _, thread in ipairs(threads) do
      total = total + thread:get("failed")
      if shown == "" then shown = thread:get("first") end
   end
   print("Publications refused: " .. total)
   if total > 0 then print("  the first: " .. shown) end
end
