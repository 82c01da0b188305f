//! The plugins in upstream's order (Kubernetes `pkg/kubeapiserver/options/plugins.go`), and which of them run.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Plugin;
use crate::api::field::go_quote;

/// A name that `--enable-admission-plugins` knows.
pub struct Row {
    pub name: &'static str,
    pub on_by_default: bool,
    /// Absent for names that upstream knows and we do not have; they cannot be enabled.
    pub make: Option<fn() -> Arc<dyn Plugin>>,
}

/// All names, in the order in which the plugins run.
pub static PLUGINS: &[Row] = &[
    row("AlwaysAdmit", Off, || Arc::new(super::always::AlwaysAdmit)),
    absent("NamespaceAutoProvision", Off),
    row("NamespaceLifecycle", On, || Arc::new(super::namespace_lifecycle::NamespaceLifecycle)),
    row("NamespaceExists", Off, || Arc::new(super::namespace_exists::NamespaceExists)),
    row("LimitPodHardAntiAffinityTopology", Off, || Arc::new(super::anti_affinity::LimitPodHardAntiAffinityTopology)),
    row("LimitRanger", On, || Arc::new(super::limit_ranger::LimitRanger)),
    row("ServiceAccount", On, || Arc::new(super::service_account::ServiceAccount)),
    row("NodeRestriction", Off, || Arc::new(super::node_restriction::NodeRestriction)),
    row("TaintNodesByCondition", On, || Arc::new(super::taint_nodes_by_condition::TaintNodesByCondition)),
    row("AlwaysPullImages", Off, || Arc::new(super::always_pull_images::AlwaysPullImages)),
    absent("ImagePolicyWebhook", Off),
    row("PodSecurity", On, || Arc::new(super::pod_security::PodSecurity)),
    row("PodNodeSelector", Off, || Arc::new(super::pod_node_selector::PodNodeSelector)),
    row("Priority", On, || Arc::new(super::priority::Priority)),
    row("DefaultTolerationSeconds", On, || Arc::new(super::default_toleration_seconds::DefaultTolerationSeconds)),
    absent("PodTolerationRestriction", Off),
    absent("EventRateLimit", Off),
    row("ExtendedResourceToleration", Off, || {
        Arc::new(super::extended_resource_toleration::ExtendedResourceToleration)
    }),
    row("DefaultStorageClass", On, || Arc::new(super::default_storage_class::DefaultStorageClass)),
    row("StorageObjectInUseProtection", On, || {
        Arc::new(super::storage_object_in_use_protection::StorageObjectInUseProtection)
    }),
    absent("PodGroupProtection", On),
    row("OwnerReferencesPermissionEnforcement", Off, || {
        Arc::new(super::owner_references::OwnerReferencesPermissionEnforcement)
    }),
    row("PersistentVolumeClaimResize", On, || {
        Arc::new(super::persistent_volume_claim_resize::PersistentVolumeClaimResize)
    }),
    row("RuntimeClass", On, || Arc::new(super::runtime_class::RuntimeClass)),
    row("CertificateApproval", On, || Arc::new(super::certificates::CertificateApproval)),
    row("CertificateSigning", On, || Arc::new(super::certificates::CertificateSigning)),
    row("ClusterTrustBundleAttest", On, || Arc::new(super::cluster_trust_bundle::ClusterTrustBundleAttest)),
    row("CertificateSubjectRestriction", On, || Arc::new(super::certificates::CertificateSubjectRestriction)),
    row("DefaultIngressClass", On, || Arc::new(super::default_ingress_class::DefaultIngressClass)),
    row("DenyServiceExternalIPs", Off, || Arc::new(super::deny_service_external_ips::DenyServiceExternalIps)),
    row("PodTopologyLabels", On, || Arc::new(super::pod_topology_labels::PodTopologyLabels)),
    absent("NodeDeclaredFeatureValidator", On),
    row("PodResizeValidator", On, || Arc::new(super::pod_resize::PodResizeValidator)),
    row("MutatingAdmissionPolicy", On, || Arc::new(super::policy::MutatingAdmissionPolicy::default())),
    row("MutatingAdmissionWebhook", On, || Arc::new(super::webhook::MutatingAdmissionWebhook::default())),
    row("ValidatingAdmissionPolicy", On, || Arc::new(super::policy::ValidatingAdmissionPolicy::default())),
    row("ValidatingAdmissionWebhook", On, || Arc::new(super::webhook::ValidatingAdmissionWebhook::default())),
    row("ResourceQuota", On, || Arc::new(super::resource_quota::ResourceQuota)),
    row("AlwaysDeny", Off, || Arc::new(super::always::AlwaysDeny)),
];

use Unless::{Off, On};

/// Whether a plugin runs unless the user says otherwise.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unless {
    On,
    Off,
}

const fn row(name: &'static str, unless: Unless, make: fn() -> Arc<dyn Plugin>) -> Row {
    Row { name, on_by_default: matches!(unless, On), make: Some(make) }
}

const fn absent(name: &'static str, unless: Unless) -> Row {
    Row { name, on_by_default: matches!(unless, On), make: None }
}

/// The plugins that run, in order, by `--enable-admission-plugins` and `--disable-admission-plugins`. At the end
/// stands what upstream does in the storage of kinds and nobody can switch off.
///
/// # Errors
/// Upstream's text for names that nobody knows or that are in both lists.
pub fn plugins(enable: &[String], disable: &[String]) -> Result<Vec<Arc<dyn Plugin>>, String> {
    let known = |name: &String| PLUGINS.iter().find(|row| row.name == name);
    let mut errors = Vec::new();
    for (flag, names) in [("enable", enable), ("disable", disable)] {
        let unknown = names.iter().filter(|name| known(name).is_none());
        errors.extend(unknown.map(|name| format!("{flag}-admission-plugins plugin {} is unknown", go_quote(name))));
    }
    let both: BTreeSet<_> = enable.iter().filter(|name| disable.contains(name)).map(String::as_str).collect();
    if !both.is_empty() {
        let both = both.into_iter().collect::<Vec<_>>().join(" ");
        errors.push(format!("[{both}] in enable-admission-plugins and disable-admission-plugins overlapped"));
    }
    let missing = enable.iter().filter_map(known).filter(|row| row.make.is_none() && !row.on_by_default);
    errors
        .extend(missing.map(|row| format!("enable-admission-plugins plugin {} is not supported", go_quote(row.name))));
    if !errors.is_empty() {
        let joined = errors.join(", ");
        return Err(if errors.len() == 1 { joined } else { format!("[{joined}]") });
    }
    let named = |list: &[String], row: &Row| list.iter().any(|name| name == row.name);
    let runs = |row: &&Row| !named(disable, row) && (row.on_by_default || named(enable, row));
    let mut plugins: Vec<_> = PLUGINS.iter().filter(runs).filter_map(|row| row.make).map(|make| make()).collect();
    plugins.push(Arc::new(super::rbac_escalation::RbacEscalation));
    plugins.push(Arc::new(super::storage_rights::StorageRights));
    Ok(plugins)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(enable: &[&str], disable: &[&str]) -> Result<Vec<&'static str>, String> {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        plugins(&list(enable), &list(disable)).map(|plugins| plugins.iter().map(|plugin| plugin.name()).collect())
    }

    #[test]
    fn every_row_makes_the_plugin_of_its_name() {
        for row in PLUGINS {
            if let Some(make) = row.make {
                assert_eq!(make().name(), row.name);
            }
        }
    }

    #[test]
    fn plugins_run_in_order_unless_disabled() {
        let all = names(&[], &[]).unwrap();
        assert_eq!(all[..3], ["NamespaceLifecycle", "LimitRanger", "ServiceAccount"]);
        assert_eq!(all[all.len() - 2..], ["RbacEscalation", "StorageRights"]);
        assert!(!names(&[], &["LimitRanger"]).unwrap().contains(&"LimitRanger"));
    }

    #[test]
    fn unknown_and_contradicting_names_are_refused_in_upstreams_words() {
        assert_eq!(names(&["Foo"], &[]), Err(r#"enable-admission-plugins plugin "Foo" is unknown"#.to_owned()));
        assert_eq!(names(&[], &["Foo"]), Err(r#"disable-admission-plugins plugin "Foo" is unknown"#.to_owned()));
        let two =
            r#"[disable-admission-plugins plugin "A" is unknown, disable-admission-plugins plugin "B" is unknown]"#;
        assert_eq!(names(&[], &["A", "B"]), Err(two.to_owned()));
        let both = "[Priority] in enable-admission-plugins and disable-admission-plugins overlapped";
        assert_eq!(names(&["Priority"], &["Priority"]), Err(both.to_owned()));
    }
}
