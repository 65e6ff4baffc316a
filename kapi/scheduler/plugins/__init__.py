"""One file per plugin, named as upstream's; pure: no clock, no I/O, no state of a run."""
