"""The kinds of the autoscaling group, in version v2."""
