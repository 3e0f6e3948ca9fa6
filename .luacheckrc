std = "lua51"
read_globals = { "redis", "cjson", "cmsgpack", "struct", "KEYS", "ARGV" }
max_line_length = false
