-- SPDX-License-Identifier: Apache-2.0
-- For wrk: posts the file named by $BODY, with $JSON_BYTES as the length of its JSON part if that is set; prints requests, seconds, errors and
-- latencies in microseconds as one line of JSON.
local file = assert(io.open(os.getenv("BODY"), "rb"))
wrk.method = "POST"
wrk.headers["Content-Type"] = os.getenv("JSON_BYTES") and "application/octet-stream" or "application/json"
wrk.headers["Inference-Header-Content-Length"] = os.getenv("JSON_BYTES")
wrk.body = file:read("*a")
file:close()

function done(summary, latency)
  local e = summary.errors
  print(string.format('RESULT {"requests": %d, "seconds": %.6f, "errors": %d, "p50_us": %d, "p99_us": %d}', summary.requests,
    summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99)))
end
