//! The kinds of `storagemigration.k8s.io`.

pub(super) mod migration;
