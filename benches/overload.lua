-- A wrk script, one client for each thread: calls again as soon as it is answered, or a tenth of a
-- second after a 503, and prints the time of each answer. BODY is a file, KIND its content type.
local ffi = require("ffi")
ffi.cdef [[ typedef struct { long s, ns; } when; int clock_gettime(int, when *); ]]

local clients, now = {}, ffi.new("when")

local function milliseconds()
  ffi.C.clock_gettime(1, now)
  return tonumber(now.s) * 1000 + tonumber(now.ns) / 1e6
end

function setup(thread)
  table.insert(clients, thread)
end

function init()
  local file = io.open(os.getenv("BODY"), "rb")
  asked = wrk.format("POST", nil, { ["Content-Type"] = os.getenv("KIND"), ["Authorization"] = os.getenv("AUTHORIZATION") }, file:read("*a"))
  file:close()
  answers, turned_away = {}, false
end

function delay()
  return turned_away and 100 or 0
end

function request()
  began = milliseconds()
  return asked
end

function response(status)
  turned_away = status == 503
  table.insert(answers, status .. " " .. milliseconds() - began)
end

function done()
  print("answers:")
  for _, client in ipairs(clients) do
    local answers = client:get("answers")
    if #answers > 0 then print(table.concat(answers, "\n")) end
  end
end
