-- wrk asks for files in turn: those of a list, a path in each line.
--   wrk -s rotation.lua URL -- LIST
local paths = {}
local number = 0

init = function(arguments)
    for path in io.lines(arguments[1]) do
        paths[#paths + 1] = "/" .. path
    end
end

request = function()
    number = number % #paths + 1
    return wrk.format("GET", paths[number])
end
