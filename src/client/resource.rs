//! Addresses of objects: which resource, and where in it.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::api::GroupResource;

/// A served resource.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Resource {
    pub group: Cow<'static, str>,
    pub version: Cow<'static, str>,
    pub plural: Cow<'static, str>,
    pub kind: Cow<'static, str>,
    pub namespaced: bool,
}

/// A place below a resource: a collection, an object or a subresource of one.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    pub resource: &'a Resource,
    pub namespace: &'a str,
    pub name: &'a str,
    pub subresource: &'a str,
}

impl Resource {
    /// A namespaced resource of the legacy group.
    const fn core(plural: &'static str, kind: &'static str) -> Self {
        Self::grouped("", "v1", plural, kind)
    }

    const fn grouped(group: &'static str, version: &'static str, plural: &'static str, kind: &'static str) -> Self {
        Self {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            plural: Cow::Borrowed(plural),
            kind: Cow::Borrowed(kind),
            namespaced: true,
        }
    }

    const fn of_cluster(mut self) -> Self {
        self.namespaced = false;
        self
    }

    pub const PODS: &'static Self = &Self::core("pods", "Pod");
    pub const SERVICES: &'static Self = &Self::core("services", "Service");
    pub const ENDPOINTS: &'static Self = &Self::core("endpoints", "Endpoints");
    pub const EVENTS: &'static Self = &Self::core("events", "Event");
    pub const PERSISTENT_VOLUME_CLAIMS: &'static Self = &Self::core("persistentvolumeclaims", "PersistentVolumeClaim");
    pub const PERSISTENT_VOLUMES: &'static Self = &Self::core("persistentvolumes", "PersistentVolume").of_cluster();
    pub const VOLUME_ATTRIBUTES_CLASSES: &'static Self =
        &Self::grouped("storage.k8s.io", "v1", "volumeattributesclasses", "VolumeAttributesClass").of_cluster();
    pub const CONFIG_MAPS: &'static Self = &Self::core("configmaps", "ConfigMap");
    pub const SERVICE_ACCOUNTS: &'static Self = &Self::core("serviceaccounts", "ServiceAccount");
    pub const RESOURCE_QUOTAS: &'static Self = &Self::core("resourcequotas", "ResourceQuota");
    pub const REPLICATION_CONTROLLERS: &'static Self = &Self::core("replicationcontrollers", "ReplicationController");
    pub const NODES: &'static Self = &Self::core("nodes", "Node").of_cluster();
    pub const NAMESPACES: &'static Self = &Self::core("namespaces", "Namespace").of_cluster();
    pub const DEPLOYMENTS: &'static Self = &Self::grouped("apps", "v1", "deployments", "Deployment");
    pub const REPLICA_SETS: &'static Self = &Self::grouped("apps", "v1", "replicasets", "ReplicaSet");
    pub const STATEFUL_SETS: &'static Self = &Self::grouped("apps", "v1", "statefulsets", "StatefulSet");
    pub const DAEMON_SETS: &'static Self = &Self::grouped("apps", "v1", "daemonsets", "DaemonSet");
    pub const CONTROLLER_REVISIONS: &'static Self =
        &Self::grouped("apps", "v1", "controllerrevisions", "ControllerRevision");
    pub const JOBS: &'static Self = &Self::grouped("batch", "v1", "jobs", "Job");
    pub const CRON_JOBS: &'static Self = &Self::grouped("batch", "v1", "cronjobs", "CronJob");
    pub const ENDPOINT_SLICES: &'static Self =
        &Self::grouped("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice");
    pub const NEW_EVENTS: &'static Self = &Self::grouped("events.k8s.io", "v1", "events", "Event");
    pub const LEASES: &'static Self = &Self::grouped("coordination.k8s.io", "v1", "leases", "Lease");
    pub const CLUSTER_ROLES: &'static Self =
        &Self::grouped("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole").of_cluster();
    pub const POD_DISRUPTION_BUDGETS: &'static Self =
        &Self::grouped("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget");
    pub const CUSTOM_RESOURCE_DEFINITIONS: &'static Self =
        &Self::grouped("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")
            .of_cluster();

    pub const API_SERVICES: &'static Self =
        &Self::grouped("apiregistration.k8s.io", "v1", "apiservices", "APIService").of_cluster();
    pub const FLOW_SCHEMAS: &'static Self =
        &Self::grouped("flowcontrol.apiserver.k8s.io", "v1", "flowschemas", "FlowSchema").of_cluster();
    pub const PRIORITY_LEVELS: &'static Self = &Self::grouped(
        "flowcontrol.apiserver.k8s.io",
        "v1",
        "prioritylevelconfigurations",
        "PriorityLevelConfiguration",
    )
    .of_cluster();
    pub const CERTIFICATE_REQUESTS: &'static Self =
        &Self::grouped("certificates.k8s.io", "v1", "certificatesigningrequests", "CertificateSigningRequest")
            .of_cluster();
    pub const ACCESS_REVIEWS: &'static Self =
        &Self::grouped("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview").of_cluster();
    pub const VALIDATING_ADMISSION_POLICIES: &'static Self = &Self::grouped(
        "admissionregistration.k8s.io",
        "v1",
        "validatingadmissionpolicies",
        "ValidatingAdmissionPolicy",
    )
    .of_cluster();
    pub const SERVICE_RANGES: &'static Self =
        &Self::grouped("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR").of_cluster();

    /// `apps/v1`, or `v1` in the legacy group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_string() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The resource without its version.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource { group: self.group.clone(), resource: self.plural.clone() }
    }

    /// All objects, of all namespaces.
    pub fn all(&self) -> Target<'_> {
        self.at("", "")
    }

    /// One object; with an empty name the collection of a namespace.
    pub fn at<'a>(&'a self, namespace: &'a str, name: &'a str) -> Target<'a> {
        Target { resource: self, namespace, name, subresource: "" }
    }
}

impl<'a> Target<'a> {
    /// A subresource of the object.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "short for subresource; nothing is subtracted")]
    pub fn sub(mut self, subresource: &'a str) -> Self {
        self.subresource = subresource;
        self
    }

    /// The path of the URL.
    pub fn path(&self) -> String {
        let resource = self.resource;
        let mut path = String::with_capacity(96);
        path.push_str(if resource.group.is_empty() { "/api" } else { "/apis/" });
        path.push_str(&resource.group);
        path.push('/');
        path.push_str(&resource.version);
        if !self.namespace.is_empty() {
            path.push_str("/namespaces/");
            path.push_str(self.namespace);
        }
        path.push('/');
        path.push_str(&resource.plural);
        if !self.name.is_empty() {
            path.push('/');
            push_encoded(&mut path, self.name);
        }
        if !self.subresource.is_empty() {
            path.push('/');
            path.push_str(self.subresource);
        }
        path
    }
}

/// Appends a text, percent-encoded for a path segment or a query value.
pub(super) fn push_encoded(path: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => path.push(char::from(byte)),
            _ => write!(path, "%{byte:02X}").expect("writing to a string does not fail"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_path(target: Target<'_>, expected: &str) {
        assert_eq!(target.path(), expected);
    }

    #[test]
    fn paths_name_group_namespace_object_and_subresource() {
        check_path(Resource::PODS.all(), "/api/v1/pods");
        check_path(Resource::PODS.at("a", ""), "/api/v1/namespaces/a/pods");
        check_path(Resource::PODS.at("a", "b").sub("status"), "/api/v1/namespaces/a/pods/b/status");
        check_path(Resource::DEPLOYMENTS.at("a", "b"), "/apis/apps/v1/namespaces/a/deployments/b");
        check_path(Resource::NODES.at("", "n1"), "/api/v1/nodes/n1");
        check_path(
            Resource::CLUSTER_ROLES.at("", "system:node"),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
        );
    }
}
