-- Run a script if no byte of it, of its keys or of its arguments was damaged on the way. A damaged
-- value is found by reading it back, but a damaged change of the pointer would reach readers.
--
-- KEYS  keys of the script
-- ARGV  1 SHA-1 of the rest   2 text of the script   3... arguments of the script, its ARGV[1]...
-- returns the reply of the script, or {damaged}
local checksum, text = table.remove(ARGV, 1), table.remove(ARGV, 1)
local parts = {text}
for _, key in ipairs(KEYS) do table.insert(parts, key) end
for _, argument in ipairs(ARGV) do table.insert(parts, argument) end
if redis.sha1hex(table.concat(parts, '\0')) ~= checksum then
  return {'damaged'}
end
return loadstring(text)()
