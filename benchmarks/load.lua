-- wrk script: arguments are METHOD and BODY_OCTETS; the result leaves as one line of JSON.
-- There is no request() here: wrk then formats the request once and reuses its bytes.

function init(args)
  wrk.method = args[1]
  local octets = tonumber(args[2])
  if octets > 0 then
    wrk.body = string.rep("x", octets)
    wrk.headers["Content-Type"] = "application/octet-stream"
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
