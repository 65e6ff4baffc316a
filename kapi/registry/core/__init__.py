"""The kinds of the core group, one file each; a pod's parts have files of their own."""
