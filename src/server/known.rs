//! Types that every API server knows, whatever it serves: their place among the shapes and their name on the wire.

use crate::api::GroupVersionKind;

/// One such type.
pub(super) struct Known {
    pub definition: &'static str,
    pub gvk: GroupVersionKind,
}

pub(super) static STATUS: Known = meta("io.k8s.apimachinery.pkg.apis.meta.v1.Status", "Status");
pub(super) static DELETE_OPTIONS: Known = meta("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", "DeleteOptions");
pub(super) static LIST_META: Known = meta("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta", "ListMeta");
pub(super) static VERSIONS: Known = meta("io.k8s.apimachinery.pkg.apis.meta.v1.APIVersions", "APIVersions");
pub(super) static GROUP_LIST: Known = meta("io.k8s.apimachinery.pkg.apis.meta.v1.APIGroupList", "APIGroupList");
pub(super) static GROUP: Known = meta("io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup", "APIGroup");
pub(super) static RESOURCE_LIST: Known =
    meta("io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList", "APIResourceList");
pub(super) static GROUP_DISCOVERY_LIST: Known = Known {
    definition: "io.k8s.api.apidiscovery.v2.APIGroupDiscoveryList",
    gvk: GroupVersionKind::of("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList"),
};
pub(super) static PARTIAL_METADATA: Known = partial_metadata("v1");
pub(super) static PARTIAL_METADATA_BETA: Known = partial_metadata("v1beta1");

const fn meta(definition: &'static str, kind: &'static str) -> Known {
    Known { definition, gvk: GroupVersionKind::of("", "v1", kind) }
}

const fn partial_metadata(version: &'static str) -> Known {
    Known {
        definition: "io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata",
        gvk: GroupVersionKind::of("meta.k8s.io", version, "PartialObjectMetadata"),
    }
}
