-- Runs a script, if not a byte of it, of its keys or of its arguments changed on the way: a spoilt
-- value is found by the read-back, but a spoilt change of the pointer would be seen by readers.
--
-- KEYS  the script's own
-- ARGV  1 SHA-1 of what follows   2 text of the script   3... the script's own, as its ARGV[1]...
-- returns what the script returns, or {spoilt}
local told, text = table.remove(ARGV, 1), table.remove(ARGV, 1)
local parts = {text}
for _, key in ipairs(KEYS) do table.insert(parts, key) end
for _, argument in ipairs(ARGV) do table.insert(parts, argument) end
if redis.sha1hex(table.concat(parts, '\0')) ~= told then
  return {'spoilt'}
end
return loadstring(text)()
