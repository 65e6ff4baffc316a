"""ReplicaSet and ReplicationController: keep a number of pods. One code for both kinds."""
