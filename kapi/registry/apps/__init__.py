"""The kinds of the apps group, one file each."""
