//! What each served type is: the table of built-in types, one file per kind under its API group, and the catalog of types served right now.
