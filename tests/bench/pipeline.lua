-- wrk sends 16 requests at once on each connection, and the next 16 when all of these are answered.
local requests

init = function()
    requests = string.rep(wrk.format(), 16)
end

request = function()
    return requests
end
