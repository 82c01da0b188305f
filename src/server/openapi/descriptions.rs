//! What types and fields are for, as `kubectl explain` shows it: the texts of upstream's documents, taken from
//! `k8s-openapi` on first use and kept as one text with places in it, since the trees they come in are ten times as big.

use std::collections::{BTreeMap, HashMap};

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The descriptions of all built-in types.
pub(super) struct Descriptions {
    text: Box<str>,
    /// By the name of the type in the documents.
    types: BTreeMap<Box<str>, Described>,
}

/// A place in the text.
type Span = (u32, u32);

struct Described {
    own: Span,
    /// Names and descriptions.
    fields: Box<[(Span, Span)]>,
}

impl Descriptions {
    pub(super) fn collect() -> Self {
        let mut generator = SchemaSettings::openapi3().into_generator();
        add_all(&mut generator);
        let mut text = Text::default();
        let describe = |(name, schema): (String, Value)| (name.into_boxed_str(), described(&schema, &mut text));
        let types = generator.take_definitions(false).into_iter().map(describe).collect();
        Self { text: text.all.into_boxed_str(), types }
    }

    /// What a type is for.
    pub(super) fn of_type(&self, name: &str) -> Option<&str> {
        self.non_empty(self.types.get(name)?.own)
    }

    /// What a field of a type is for.
    pub(super) fn of_field(&self, name: &str, field: &str) -> Option<&str> {
        let mut fields = self.types.get(name)?.fields.iter();
        self.non_empty(fields.find(|(name, _)| self.at(*name) == field)?.1)
    }

    fn at(&self, (start, end): Span) -> &str {
        &self.text[start as usize..end as usize]
    }

    fn non_empty(&self, span: Span) -> Option<&str> {
        Some(self.at(span)).filter(|text| !text.is_empty())
    }
}

fn described(schema: &Value, text: &mut Text) -> Described {
    let mut of = |schema: &Value| text.place(schema.get("description").and_then(Value::as_str).unwrap_or_default());
    let own = of(schema);
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let fields: Vec<(&String, Span)> = properties.map(|(name, schema)| (name, of(schema))).collect();
    Described { own, fields: fields.into_iter().map(|(name, span)| (text.place(name), span)).collect() }
}

/// Texts one after the other; the same text stands there once.
#[derive(Default)]
struct Text {
    all: String,
    places: HashMap<String, Span>,
}

impl Text {
    fn place(&mut self, text: &str) -> Span {
        if let Some(span) = self.places.get(text) {
            return *span;
        }
        let position = |length: usize| u32::try_from(length).expect("all descriptions are about one megabyte");
        let start = position(self.all.len());
        self.all.push_str(text);
        let span = (start, position(self.all.len()));
        self.places.insert(text.to_owned(), span);
        span
    }
}

/// Adds types of one module with all that they lead to.
macro_rules! add {
    ($generator:ident, $($module:ident)::+: $($name:ident)+) => {{
        use k8s_openapi::$($module)::+ as module;
        $($generator.subschema_for::<module::$name>();)+
    }};
}

/// All kinds, and the types that only requests or other types' special forms use.
fn add_all(generator: &mut SchemaGenerator) {
    add!(generator, api::admissionregistration::v1:
        MutatingAdmissionPolicy MutatingAdmissionPolicyBinding MutatingWebhookConfiguration ValidatingAdmissionPolicy
        ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration);
    add!(generator, api::admissionregistration::v1alpha1: MutatingAdmissionPolicy MutatingAdmissionPolicyBinding);
    add!(generator, api::admissionregistration::v1beta1: MutatingAdmissionPolicy MutatingAdmissionPolicyBinding);
    add!(generator, api::apiserverinternal::v1alpha1: StorageVersion);
    add!(generator, api::apps::v1: ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet);
    add!(generator, api::authentication::v1: SelfSubjectReview TokenRequest TokenReview);
    add!(generator, api::authorization::v1:
        LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview);
    add!(generator, api::autoscaling::v1: HorizontalPodAutoscaler Scale);
    add!(generator, api::autoscaling::v2: HorizontalPodAutoscaler);
    add!(generator, api::batch::v1: CronJob Job);
    add!(generator, api::certificates::v1: CertificateSigningRequest ClusterTrustBundle PodCertificateRequest);
    add!(generator, api::certificates::v1beta1: ClusterTrustBundle PodCertificateRequest);
    add!(generator, api::coordination::v1: Lease);
    add!(generator, api::coordination::v1alpha2: LeaseCandidate);
    add!(generator, api::coordination::v1beta1: LeaseCandidate);
    add!(generator, api::core::v1:
        Binding ComponentStatus ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume
        PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount);
    add!(generator, api::discovery::v1: EndpointSlice);
    add!(generator, api::events::v1: Event);
    add!(generator, api::flowcontrol::v1: FlowSchema PriorityLevelConfiguration);
    add!(generator, api::lifecycle::v1alpha1: Eviction EvictionRequest);
    add!(generator, api::networking::v1: Ingress IngressClass IPAddress NetworkPolicy ServiceCIDR);
    add!(generator, api::node::v1: RuntimeClass);
    add!(generator, api::policy::v1: Eviction PodDisruptionBudget);
    add!(generator, api::rbac::v1: ClusterRole ClusterRoleBinding Role RoleBinding);
    add!(generator, api::resource::v1: DeviceClass DeviceTaintRule ResourceClaim ResourceClaimTemplate ResourceSlice);
    add!(generator, api::resource::v1alpha3: DeviceTaintRule ResourcePoolStatusRequest);
    add!(generator, api::resource::v1beta1: DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice);
    add!(generator, api::resource::v1beta2:
        DeviceClass DeviceTaintRule ResourceClaim ResourceClaimTemplate ResourceSlice);
    add!(generator, api::scheduling::v1: PriorityClass);
    add!(generator, api::scheduling::v1alpha3: CompositePodGroup PodGroup Workload);
    add!(generator, api::scheduling::v1beta1: PodGroup Workload);
    add!(generator, api::storage::v1:
        CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment VolumeAttributesClass);
    add!(generator, api::storagemigration::v1: StorageVersionMigration);
    add!(generator, api::storagemigration::v1beta1: StorageVersionMigration);
    add!(generator, apiextensions_apiserver::pkg::apis::apiextensions::v1: CustomResourceDefinition);
    add!(generator, apimachinery::pkg::apis::meta::v1:
        APIGroup APIGroupList APIResourceList APIVersions Status DeleteOptions Patch MicroTime Time);
    add!(generator, kube_aggregator::pkg::apis::apiregistration::v1: APIService);
    add!(generator, apimachinery::pkg::api::resource: Quantity);
    add!(generator, apimachinery::pkg::util::intstr: IntOrString);
    add!(generator, apimachinery::pkg::runtime: RawExtension);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_fields_are_described() {
        let descriptions = Descriptions::collect();
        let spec = "io.k8s.api.apps.v1.DeploymentSpec";
        assert!(descriptions.of_type(spec).unwrap().starts_with("DeploymentSpec is the specification"));
        assert!(descriptions.of_field(spec, "replicas").unwrap().starts_with("Number of desired pods."));
        assert_eq!(descriptions.of_field(spec, "replica"), None);
    }
}
