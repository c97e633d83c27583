"""Several destinations as one: mirror, spread, failover (decision 22)."""
