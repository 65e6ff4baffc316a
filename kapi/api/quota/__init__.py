"""What objects use of a ResourceQuota, and which quotas they fall under.

Pure; shared by admission, which books what a write adds, and the quota controller, which counts
everything anew.
"""
