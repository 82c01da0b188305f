//! `/version`.

use crate::server::message::Response;

/// The Kubernetes version whose API is served.
pub(super) const GIT_VERSION: &str = "v1.37.1";

/// In upstream's order and always indented, as `json.MarshalIndent` prints it.
const FIELDS: [(&str, &str); 13] = [
    ("major", "1"),
    ("minor", "37"),
    ("emulationMajor", "1"),
    ("emulationMinor", "37"),
    ("minCompatibilityMajor", "1"),
    ("minCompatibilityMinor", "36"),
    ("gitVersion", GIT_VERSION),
    ("gitCommit", ""),
    ("gitTreeState", "clean"),
    ("buildDate", "1970-01-01T00:00:00Z"),
    ("goVersion", ""),
    ("compiler", "rustc"),
    ("platform", PLATFORM),
];

const PLATFORM: &str = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };

pub(super) fn answer() -> Response {
    let fields: Vec<String> = FIELDS.iter().map(|(key, value)| format!("  \"{key}\": \"{value}\"")).collect();
    Response::full(200, "application/json", format!("{{\n{}\n}}", fields.join(",\n")))
}
