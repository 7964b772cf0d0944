-- wrk script: arguments are METHOD, BODY_OCTETS and VARIED; the result leaves as one line of JSON.
-- Without a request() wrk formats the request once and reuses its bytes.

-- No two requests in a row on a connection are alike: a prime number of them is sent in turn.
local VARIETY = 997

local function vary()
  local formatted = {}
  for number = 1, VARIETY do
    local headers = {}
    for name, value in pairs(wrk.headers) do
      headers[name] = value
    end
    headers["traceparent"] = string.format("00-%032x-%016x-01", number * 7919, number)
    formatted[number] = wrk.format(nil, string.format("%s?page=%d", wrk.path, number), headers)
  end
  local next_number = 0
  function request()
    next_number = next_number % VARIETY + 1
    return formatted[next_number]
  end
end

function init(args)
  wrk.method = args[1]
  local octets = tonumber(args[2])
  if octets > 0 then
    wrk.body = string.rep("x", octets)
    wrk.headers["Content-Type"] = "application/octet-stream"
  end
  if args[3] == "varied" then
    vary()
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_us": %.1f, "p99_us": %.1f, "failures": '
      .. '{"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
