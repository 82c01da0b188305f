//! Role and ClusterRole.

use crate::api::validation::names::path_segment_object_name;
use crate::resources::Behaviour;

pub(in crate::resources) struct Role;

pub(in crate::resources) struct ClusterRole;

impl Behaviour for Role {
    fn name_errors(&self, name: &str, prefix: bool) -> Vec<String> {
        path_segment_object_name(name, prefix)
    }

    fn create_on_update(&self) -> bool {
        true
    }
}

impl Behaviour for ClusterRole {
    fn name_errors(&self, name: &str, prefix: bool) -> Vec<String> {
        path_segment_object_name(name, prefix)
    }

    fn create_on_update(&self) -> bool {
        true
    }
}
