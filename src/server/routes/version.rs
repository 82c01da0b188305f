//! `/version`.

use crate::resources::facts::{Facts, VERSION};
use crate::server::message::Response;

/// What the binary runs on, in Go's words.
pub(in crate::server) const PLATFORM: &str = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };

/// In upstream's order and always indented, as `json.MarshalIndent` prints it. What built the binary is told as it is.
pub(super) fn answer(facts: &Facts) -> Response {
    let (major, minor) = (facts.release.major.to_string(), facts.release.minor.to_string());
    let before = facts.release.minor.saturating_sub(1).to_string();
    let fields: [(&str, &str); 13] = [
        ("major", &major),
        ("minor", &minor),
        ("emulationMajor", &major),
        ("emulationMinor", &minor),
        ("minCompatibilityMajor", &major),
        ("minCompatibilityMinor", &before),
        ("gitVersion", VERSION),
        ("gitCommit", ""),
        ("gitTreeState", "clean"),
        ("buildDate", "1970-01-01T00:00:00Z"),
        ("goVersion", ""),
        ("compiler", "rustc"),
        ("platform", PLATFORM),
    ];
    let lines: Vec<String> = fields.iter().map(|(key, value)| format!("  \"{key}\": \"{value}\"")).collect();
    Response::full(200, "application/json", format!("{{\n{}\n}}", lines.join(",\n")))
}
