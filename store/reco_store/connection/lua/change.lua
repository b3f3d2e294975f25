-- Change the control state of a namespace: pointer, registry, hold and one manifest change together
-- or not at all, and only here. Idempotent.
--
-- KEYS  1 current   2 generations   3 lock   4 fence   5 hold   6 manifest of one generation
-- ARGV  1 token         token of the run; empty for an operator, who needs no lock
--       2 old registry  as read by the caller; empty if there was none
--       3 new registry
--       4 old pointer   as read by the caller; empty if there was none
--       5 new pointer   empty: leave it
--       6 hold          empty: leave it; '-': remove it; else its new value
--       7 manifest      empty: leave it; '-': remove it; else its new value
--       8 now           seconds since 1970; empty: ignore the hold
--       9 run_id        run id of the server during staging; empty: not checked
-- returns {word, fact}: done | stale | fenced, owner | held, hold | restarted, run_id
local pointer = redis.call('GET', KEYS[1]) or ''
local registry = redis.call('GET', KEYS[2]) or ''

-- "Already mine" is checked first: a call is repeated if its reply was lost, and by then another run
-- may have the lock.
if registry == ARGV[3] and (ARGV[5] == '' or pointer == ARGV[5])
    and (registry ~= ARGV[2] or pointer ~= ARGV[4]) then
  return {'done', ''}
end
if ARGV[1] ~= '' then
  local holder = redis.call('GET', KEYS[3]) or ARGV[1]
  local last = redis.call('GET', KEYS[4]) or ''
  if holder ~= ARGV[1] or last ~= ARGV[1] then
    return {'fenced', holder ~= ARGV[1] and holder or last}
  end
end
if registry ~= ARGV[2] or pointer ~= ARGV[4] then
  return {'stale', ''}
end
if ARGV[9] ~= '' then
  local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  if run_id ~= ARGV[9] then
    return {'restarted', run_id or ''}
  end
end
if ARGV[8] ~= '' then
  local hold = redis.call('GET', KEYS[5])
  if hold then
    if cjson.decode(hold)['until'] > tonumber(ARGV[8]) then
      return {'held', hold}
    end
    redis.call('DEL', KEYS[5])
  end
end

redis.call('SET', KEYS[2], ARGV[3])
if ARGV[6] == '-' then redis.call('DEL', KEYS[5])
elseif ARGV[6] ~= '' then redis.call('SET', KEYS[5], ARGV[6]) end
if ARGV[7] == '-' then redis.call('DEL', KEYS[6])
elseif ARGV[7] ~= '' then redis.call('SET', KEYS[6], ARGV[7]) end
if ARGV[5] ~= '' then redis.call('SET', KEYS[1], ARGV[5]) end
return {'done', ''}
