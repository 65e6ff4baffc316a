"""ControllerRevisions: the templates that a DaemonSet or StatefulSet has had."""
