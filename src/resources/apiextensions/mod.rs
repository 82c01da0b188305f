//! The kinds of `apiextensions.k8s.io`.

pub(super) mod definition;
