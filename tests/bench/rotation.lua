-- wrk asks for pages, styles and scripts in turn: 20 of each, as compression.py makes them.
local suffixes = { "html", "css", "js" }
local number = 0

request = function()
    number = (number + 1) % 60
    return wrk.format("GET", string.format("/text/%d.%s", math.floor(number / 3), suffixes[number % 3 + 1]))
end
