"""Job: run pods until enough of them succeeded, and count every pod exactly once."""
