//! `--admission-control-config-file`: what plugins are told beside being switched on (apiserver `pkg/admission/config.go`).
//! Read once, at start; a plugin gets the bytes that are meant for it and reads them itself.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::api::field::go_quote;

pub(super) use crate::api::codec::component::{document, items, number, text, tree, unknown_fields};
use crate::api::codec::component::{go_io, known};

const KIND: &str = "AdmissionConfiguration";
const VERSIONS: [&str; 2] = ["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1alpha1"];
/// Plugins that were configured by a file of their own before there was one for all, and how it is known.
const OLDER: [(&str, &str); 2] =
    [("ImagePolicyWebhook", "imagePolicy"), ("PodNodeSelector", "podNodeSelectorPluginConfig")];

/// What the file says, by plugin.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Configuration {
    plugins: Vec<(String, Source)>,
}

/// Where the configuration of a plugin is.
#[derive(Debug, PartialEq)]
enum Source {
    Nowhere,
    Here(Vec<u8>),
    File(PathBuf),
}

impl Configuration {
    /// Reads the file.
    ///
    /// # Errors
    /// In upstream's words.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| {
            let why = format!("open {shown}: {}", go_io(&error));
            format!("unable to read admission control configuration from {} [{why}]", go_quote(&shown))
        })?;
        Self::of_file(&bytes, path)
    }

    fn of_file(bytes: &[u8], path: &Path) -> Result<Self, String> {
        let read = tree(bytes)?;
        let document = match known(&read, bytes, (&VERSIONS, KIND)) {
            Ok(document) => document,
            Err(why) => return Self::of_older(&read.value, path).ok_or(why),
        };
        let entries =
            items(document, "plugins", ("AdmissionConfiguration.plugins", "[]v1.AdmissionPluginConfiguration"))?;
        let mut faults = unknown_fields(document, "", &["apiVersion", "kind", "plugins"]);
        let mut plugins = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            faults.extend(unknown_fields(entry, &format!("plugins[{index}]."), &["name", "path", "configuration"]));
            let at = "AdmissionPluginConfiguration.plugins";
            let name = text(entry, "name", at)?;
            let file = text(entry, "path", at)?;
            let source = match entry.get("configuration").filter(|given| !given.is_null()) {
                Some(given) => Source::Here(given.to_string().into_bytes()),
                None if file.is_empty() => Source::Nowhere,
                None => Source::File(path.parent().unwrap_or(Path::new("")).join(file)),
            };
            plugins.push((name.to_owned(), source));
        }
        faults.extend(read.duplicates);
        match faults.is_empty() {
            true => Ok(Self { plugins }),
            false => Err(format!("strict decoding error: {}", faults.join(", "))),
        }
    }

    /// A file from before there was one for all plugins is that of each plugin which had one.
    fn of_older(document: &Value, path: &Path) -> Option<Self> {
        OLDER.iter().any(|(_, key)| document.get(key).is_some()).then(|| Self {
            plugins: OLDER.iter().map(|(name, _)| ((*name).to_owned(), Source::File(path.to_owned()))).collect(),
        })
    }

    /// The bytes that are meant for a plugin.
    ///
    /// # Errors
    /// When they stand in a file that cannot be read.
    pub(super) fn of(&self, plugin: &str) -> Result<Option<Vec<u8>>, String> {
        match self.plugins.iter().find(|(name, _)| name == plugin) {
            None | Some((_, Source::Nowhere)) => Ok(None),
            Some((_, Source::Here(bytes))) => Ok(Some(bytes.clone())),
            Some((_, Source::File(path))) => match std::fs::read(path) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) => {
                    let (path, why) = (path.display(), go_io(&error));
                    Err(format!("Couldn't open admission plugin configuration {path}: open {path}: {why}"))
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n";

    fn read(text: &str) -> Result<Configuration, String> {
        Configuration::of_file(text.as_bytes(), Path::new("/etc/k8s/admission.yaml"))
    }

    #[track_caller]
    fn check_error(text: &str, message: &str) {
        assert_eq!(read(text).unwrap_err(), message);
    }

    #[test]
    fn a_plugin_is_told_what_stands_here_or_in_a_file_beside() {
        let text = format!(
            "{HEAD}plugins:\n- name: A\n  configuration: {{b: 1, a: [x]}}\n- name: B\n  path: b.yaml\n- name: C\n"
        );
        let read = read(&text).unwrap();
        let told: Value = serde_json::from_slice(&read.of("A").unwrap().unwrap()).unwrap();
        assert_eq!(told, serde_json::json!({ "a": ["x"], "b": 1 }));
        assert_eq!(read.plugins[1].1, Source::File("/etc/k8s/b.yaml".into()));
        assert_eq!((read.of("C"), read.of("D")), (Ok(None), Ok(None)));
        let missing = "Couldn't open admission plugin configuration /etc/k8s/b.yaml: open /etc/k8s/b.yaml: no such file \
                       or directory";
        assert_eq!(read.of("B").unwrap_err(), missing);
    }

    #[test]
    fn what_is_no_configuration_is_refused_in_upstreams_words() {
        check_error("", "Object 'Kind' is missing in ''");
        check_error("plugins: []\n", "Object 'Kind' is missing in 'plugins: []\n'");
        let text = "kind: AdmissionConfiguration\n";
        check_error(text, "Object 'apiVersion' is missing in 'kind: AdmissionConfiguration\n'");
        let unknown = "no kind \"Foo\" is registered for version \"apiserver.config.k8s.io/v1\" in scheme \
                       \"pkg/runtime/scheme.go:111\"";
        check_error("apiVersion: apiserver.config.k8s.io/v1\nkind: Foo\n", unknown);
        let fields = "strict decoding error: unknown field \"foo\", unknown field \"plugins[0].bar\"";
        check_error(&format!("{HEAD}foo: 1\nplugins:\n- name: X\n  bar: 2\n"), fields);
        let of_type = "json: cannot unmarshal number into Go struct field AdmissionConfiguration.plugins of type \
                       []v1.AdmissionPluginConfiguration";
        check_error(&format!("{HEAD}plugins: 7\n"), of_type);
    }

    #[test]
    fn a_file_of_one_plugin_from_former_times_is_understood() {
        let read = read("imagePolicy: {}\n").unwrap();
        assert_eq!(read.plugins[0], ("ImagePolicyWebhook".to_owned(), Source::File("/etc/k8s/admission.yaml".into())));
    }
}
