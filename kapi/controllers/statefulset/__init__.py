"""StatefulSets: numbered pods that keep their name and their claims."""
