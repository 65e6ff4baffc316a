"""CronJob: create Jobs at the times of a schedule, and clear away the finished ones."""
