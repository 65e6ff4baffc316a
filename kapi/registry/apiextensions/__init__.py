"""CustomResourceDefinition: its rules, the judgement of the schemas in it, and its conditions."""
