"""What a CustomResourceDefinition's kinds are: rows, rules, columns, made from the definition.

- `rows` makes the rows of the table from a definition
- `strategy` fills the generic store's blanks for them
- `validation`, `formats`, `invariants` judge an object by its OpenAPI schema
- `rules`, `rule_types`, `cel`, `cel_libraries` judge it by `x-kubernetes-validations`
- `columns`, `json_path` read cells and selectable fields

Must not: know the server. Upstream's counterpart is k8s.io/apiextensions-apiserver
`pkg/registry/customresource` and `pkg/apiserver`.
"""
