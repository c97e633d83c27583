"""Messages between our own processes: length-prefixed msgpack over a socket pair."""
