-- Extend the lease. An expired lock is taken again if no other run took it in between, which the
-- fence shows. If both are missing, the server lost its data, and no other run took the lock either.
--
-- KEYS  1 lock    2 fence
-- ARGV  1 token   2 lease in milliseconds
-- returns the token of the current owner of the namespace
local holder = redis.call('GET', KEYS[1])
local last = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return holder end
if last and last ~= ARGV[1] then return last end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[1])
return ARGV[1]
