-- Take the run lock, or renew it. Idempotent for one token.
--
-- KEYS  1 lock    token of the run that holds it, with a lease as its TTL
--       2 fence   token of the last run that took the lock, without a TTL
-- ARGV  1 token   chosen by the client
--       2 lease   milliseconds
-- returns the token of the holder and the milliseconds left of its lease
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return {holder, redis.call('PTTL', KEYS[1])}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[1])
return {ARGV[1], tonumber(ARGV[2])}
