-- How the rules of alerts stand.
-- KEYS[1] hash    gr:{0}:alert:<rule>   (and so on, one for each rule)
-- ARGV[1] now ms (empty: Redis's)
-- Flags: no-writes
-- Returns: {now, {field, value, …}, …}; no fields where the rule was never judged
-- Errors: none
local answer = { clock(ARGV[1]) }
for i = 1, #KEYS do
  local _, flat = read_hash(KEYS[i])
  answer[#answer + 1] = flat
end
return answer
