//! The plugins in upstream's order (Kubernetes `pkg/kubeapiserver/options/plugins.go`), and which of them run.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::Plugin;
use super::configuration::Configuration;
use super::default_toleration_seconds::DefaultTolerationSeconds;
use crate::api::field::go_quote;

/// A name that `--enable-admission-plugins` knows.
pub struct Row {
    pub name: &'static str,
    pub on_by_default: bool,
    make: Make,
}

/// How a plugin is made.
enum Make {
    /// Whatever the settings.
    Plain(fn() -> Arc<dyn Plugin>),
    /// By what it is told. The errors are upstream's.
    Told(fn(&Told<'_>) -> Result<Arc<dyn Plugin>, Unmade>),
}

/// Why a plugin could not be made, in upstream's words.
#[derive(Debug, PartialEq)]
pub(super) enum Unmade {
    /// Its configuration cannot be read.
    Unread(String),
    /// Its configuration cannot be worked with.
    Initialized(String),
}

impl From<String> for Unmade {
    fn from(why: String) -> Self {
        Self::Unread(why)
    }
}

/// What a plugin is told when it is made.
struct Told<'a> {
    /// The part of the file that is meant for it.
    configuration: Option<&'a [u8]>,
    gates: &'a dyn Fn(&str) -> bool,
    tolerations: DefaultTolerationSeconds,
}

/// Which plugins run, and how.
pub struct Settings<'a> {
    /// `--enable-admission-plugins` and `--disable-admission-plugins`.
    pub enable: &'a [String],
    pub disable: &'a [String],
    /// `--admission-control-config-file`.
    pub file: Option<&'a Path>,
    pub tolerations: DefaultTolerationSeconds,
    /// Whether a feature gate is on.
    pub gates: &'a dyn Fn(&str) -> bool,
}

/// Plugins that upstream lets a file configure and we do not.
const NOT_CONFIGURABLE: [&str; 5] = [
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "ResourceQuota",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
];

/// All names, in the order in which the plugins run.
pub static PLUGINS: &[Row] = &[
    row("AlwaysAdmit", Off, || Arc::new(super::always::AlwaysAdmit)),
    row("NamespaceAutoProvision", Off, || Arc::new(super::namespace_auto_provision::NamespaceAutoProvision)),
    row("NamespaceLifecycle", On, || Arc::new(super::namespace_lifecycle::NamespaceLifecycle)),
    row("NamespaceExists", Off, || Arc::new(super::namespace_exists::NamespaceExists)),
    row("LimitPodHardAntiAffinityTopology", Off, || Arc::new(super::anti_affinity::LimitPodHardAntiAffinityTopology)),
    row("LimitRanger", On, || Arc::new(super::limit_ranger::LimitRanger)),
    row("ServiceAccount", On, || Arc::new(super::service_account::ServiceAccount)),
    row("NodeRestriction", Off, || Arc::new(super::node_restriction::NodeRestriction)),
    row("TaintNodesByCondition", On, || Arc::new(super::taint_nodes_by_condition::TaintNodesByCondition)),
    row("AlwaysPullImages", Off, || Arc::new(super::always_pull_images::AlwaysPullImages)),
    told("ImagePolicyWebhook", Off, |told| {
        Ok(Arc::new(super::image_policy::ImagePolicyWebhook::new(told.configuration)?))
    }),
    told("PodSecurity", On, |told| Ok(Arc::new(super::pod_security::PodSecurity::new(told.configuration)?))),
    told("PodNodeSelector", Off, |told| {
        Ok(Arc::new(super::pod_node_selector::PodNodeSelector::new(told.configuration)))
    }),
    row("Priority", On, || Arc::new(super::priority::Priority)),
    told("DefaultTolerationSeconds", On, |told| Ok(Arc::new(told.tolerations))),
    told("PodTolerationRestriction", Off, |told| {
        Ok(Arc::new(super::pod_toleration_restriction::PodTolerationRestriction::new(told.configuration)?))
    }),
    told("EventRateLimit", Off, |told| Ok(Arc::new(super::event_rate_limit::EventRateLimit::new(told.configuration)?))),
    row("ExtendedResourceToleration", Off, || {
        Arc::new(super::extended_resource_toleration::ExtendedResourceToleration)
    }),
    row("DefaultStorageClass", On, || Arc::new(super::default_storage_class::DefaultStorageClass)),
    row("StorageObjectInUseProtection", On, || {
        Arc::new(super::storage_object_in_use_protection::StorageObjectInUseProtection)
    }),
    row("PodGroupProtection", On, || Arc::new(super::pod_group_protection::PodGroupProtection)),
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
    told("NodeDeclaredFeatureValidator", On, |told| {
        let checks_slices = (told.gates)("DRANodeAllocatableResources");
        Ok(Arc::new(super::node_declared_features::NodeDeclaredFeatureValidator { checks_slices }))
    }),
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
    Row { name, on_by_default: matches!(unless, On), make: Make::Plain(make) }
}

const fn told(name: &'static str, unless: Unless, make: fn(&Told<'_>) -> Result<Arc<dyn Plugin>, Unmade>) -> Row {
    Row { name, on_by_default: matches!(unless, On), make: Make::Told(make) }
}

impl Row {
    fn make(&self, configuration: &Configuration, settings: &Settings<'_>) -> Result<Arc<dyn Plugin>, String> {
        let given = configuration.of(self.name)?;
        if given.is_some() && NOT_CONFIGURABLE.contains(&self.name) {
            return Err(format!("a configuration of {} is not supported", self.name));
        }
        match &self.make {
            Make::Plain(make) => Ok(make()),
            Make::Told(make) => {
                let told =
                    Told { configuration: given.as_deref(), gates: settings.gates, tolerations: settings.tolerations };
                make(&told).map_err(|why| match why {
                    Unmade::Unread(why) => format!("couldn't init admission plugin {}: {why}", go_quote(self.name)),
                    Unmade::Initialized(why) => {
                        format!("failed to initialize admission plugin {}: {why}", go_quote(self.name))
                    }
                })
            }
        }
    }
}

/// The plugins that run, in order. At the end stands what upstream does in the storage of kinds and nobody can switch
/// off.
///
/// # Errors
/// Upstream's text for names that nobody knows or that are in both lists, and for what the file says.
pub fn plugins(settings: &Settings<'_>) -> Result<Vec<Arc<dyn Plugin>>, String> {
    check_names(settings)?;
    let named = |list: &[String], row: &Row| list.iter().any(|name| name == row.name);
    let runs = |row: &&Row| !named(settings.disable, row) && (row.on_by_default || named(settings.enable, row));
    let failed = |why: String| format!("failed to apply admission: {why}");
    let configuration = settings.file.map(Configuration::read).transpose();
    let configuration = configuration.map_err(|why| failed(format!("failed to read plugin config: {why}")))?;
    let configuration = configuration.unwrap_or_default();
    let made = PLUGINS.iter().filter(runs).map(|row| row.make(&configuration, settings));
    let mut plugins = made.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    plugins.push(Arc::new(super::rbac_escalation::RbacEscalation));
    plugins.push(Arc::new(super::storage_rights::StorageRights));
    Ok(plugins)
}

fn check_names(settings: &Settings<'_>) -> Result<(), String> {
    let known = |name: &String| PLUGINS.iter().any(|row| row.name == name);
    let mut errors = Vec::new();
    for (flag, names) in [("enable", settings.enable), ("disable", settings.disable)] {
        let unknown = names.iter().filter(|name| !known(name));
        errors.extend(unknown.map(|name| format!("{flag}-admission-plugins plugin {} is unknown", go_quote(name))));
    }
    let both: BTreeSet<_> =
        settings.enable.iter().filter(|name| settings.disable.contains(name)).map(String::as_str).collect();
    if !both.is_empty() {
        let both = both.into_iter().collect::<Vec<_>>().join(" ");
        errors.push(format!("[{both}] in enable-admission-plugins and disable-admission-plugins overlapped"));
    }
    match errors.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("[{}]", many.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(enable: &[&str], disable: &[&str], file: Option<&Path>) -> Result<Vec<&'static str>, String> {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (enable, disable) = (list(enable), list(disable));
        let tolerations = DefaultTolerationSeconds::default();
        let settings = Settings { enable: &enable, disable: &disable, file, tolerations, gates: &|_| false };
        plugins(&settings).map(|plugins| plugins.iter().map(|plugin| plugin.name()).collect())
    }

    fn names(enable: &[&str], disable: &[&str]) -> Result<Vec<&'static str>, String> {
        made(enable, disable, None)
    }

    #[test]
    fn every_row_makes_the_plugin_of_its_name() {
        for row in PLUGINS {
            if let Make::Plain(make) = &row.make {
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
        let on = PLUGINS.iter().filter(|row| row.on_by_default).map(|row| row.name);
        assert_eq!(all[..all.len() - 2], on.collect::<Vec<_>>());
        assert_eq!((PLUGINS.len(), all.len()), (39, 27));
    }

    #[test]
    fn unknown_and_contradicting_names_are_refused_in_upstreams_words() {
        let unknown = |flag: &str, name: &str| format!("{flag}-admission-plugins plugin \"{name}\" is unknown");
        assert_eq!(names(&["Foo"], &[]), Err(unknown("enable", "Foo")));
        assert_eq!(names(&[], &["Foo"]), Err(unknown("disable", "Foo")));
        let two = format!("[{}, {}]", unknown("enable", "Foo"), unknown("enable", "Bar"));
        assert_eq!(names(&["Foo", "Bar"], &[]), Err(two));
        let both = "[Priority] in enable-admission-plugins and disable-admission-plugins overlapped";
        assert_eq!(names(&["Priority"], &["Priority"]), Err(both.to_owned()));
    }

    #[test]
    fn a_plugin_that_needs_a_configuration_is_not_made_without() {
        let message = "failed to apply admission: couldn't init admission plugin \"EventRateLimit\": limits: Invalid \
                       value: null: must not be empty";
        assert_eq!(names(&["EventRateLimit"], &[]), Err(message.to_owned()));
        let missing = "failed to apply admission: failed to read plugin config: unable to read admission control \
                       configuration from \"/none\" [open /none: no such file or directory]";
        assert_eq!(made(&[], &[], Some(Path::new("/none"))), Err(missing.to_owned()));
    }

    #[test]
    fn what_a_file_says_of_a_plugin_is_heeded_or_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let check = |plugin: &str, enable: &[&str], said: Result<bool, &str>| {
            let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n";
            std::fs::write(file.path(), format!("{head}- name: {plugin}\n  configuration: {{a: b}}\n")).unwrap();
            let made = made(enable, &[], Some(file.path()));
            assert_eq!(made.map(|_| true), said.map_err(|why| format!("failed to apply admission: {why}")));
        };
        check("Foo", &[], Ok(true));
        check("EventRateLimit", &[], Ok(true));
        let missing = "couldn't init admission plugin \"EventRateLimit\": Object 'Kind' is missing in '{\"a\":\"b\"}'";
        check("EventRateLimit", &["EventRateLimit"], Err(missing));
        check("ResourceQuota", &[], Err("a configuration of ResourceQuota is not supported"));
    }
}
