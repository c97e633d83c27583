"""The protocol of writers and deletion (DESIGN 7, 8) as a model: actors that take turns at a store in memory."""
