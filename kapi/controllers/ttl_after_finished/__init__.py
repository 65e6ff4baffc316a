"""Deletes finished Jobs once their ttlSecondsAfterFinished have passed."""
