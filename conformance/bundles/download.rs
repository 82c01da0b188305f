//! Bundles out of Go's module cache, into which its own command downloads them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// Where a bundle comes from; see `bundles.yaml`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bundle {
    pub(super) name: String,
    module: String,
    pub(super) version: String,
    definitions: Vec<String>,
    #[serde(default, rename = "chart")]
    _chart: String,
    samples: Vec<String>,
}

/// The files of a bundle.
pub(super) struct Files {
    pub(super) definitions: Vec<PathBuf>,
    pub(super) samples: Vec<PathBuf>,
}

impl Bundle {
    /// The bundle's files; what `go` says when it cannot get them.
    pub(super) fn download(&self) -> Result<Files, String> {
        let folder = module_folder(&format!("{}@{}", self.module, self.version))?;
        let below = |parts: &[String]| {
            let mut found = Vec::new();
            parts.iter().for_each(|part| collect(&folder.join(part), &mut found));
            found
        };
        let definitions = below(&self.definitions);
        let samples = below(&self.samples).into_iter().filter(|file| !definitions.contains(file)).collect();
        // What kustomize reads is no object of a cluster.
        let definitions = definitions.into_iter().filter(|file| !file.ends_with("kustomization.yaml")).collect();
        Ok(Files { definitions, samples })
    }
}

/// The folder of a module at a version, which is downloaded when it is not there.
fn module_folder(module: &str) -> Result<PathBuf, String> {
    let mut command = Command::new("go");
    // Outside of every module, so that none is changed.
    let output = command.args(["mod", "download", "-json", module]).current_dir(std::env::temp_dir()).output();
    let output = output.map_err(|error| format!("go: {error}"))?;
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    match (told["Dir"].as_str(), told["Error"].as_str()) {
        (Some(folder), None) => Ok(PathBuf::from(folder)),
        (_, Some(error)) => Err(error.to_owned()),
        (None, None) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// All YAML files below a folder, in order.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
            found.push(path);
        }
    }
}
