//! Tests about the code itself: the order of the layers, the heads and sizes of files, where SQL and actix may stand.
//! Exceptions stand in `tidy_exceptions.txt`, which only shrinks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The longest file without an exception, its tests not counted.
const LINES_MAX: usize = 600;

/// Siblings: none of them uses another.
const SIBLINGS: [&str; 4] = ["controllers", "scheduler", "node", "network"];

/// Names that say nothing of what a module holds.
const NAMES_FORBIDDEN: [&str; 6] = ["utils", "util", "common", "helpers", "misc", "types_common"];

struct Source {
    /// Relative to the package, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// Lines before the tests of the file.
    fn lines(&self) -> usize {
        self.text.lines().take_while(|line| *line != "#[cfg(test)]").count()
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, out: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, out);
        } else {
            out.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in ["src", "conformance", "benches"] {
        let folder = root().join(folder);
        if folder.is_dir() {
            files_below(&folder, &mut paths);
        }
    }
    let rust = paths.into_iter().filter(|p| p.extension().is_some_and(|e| e == "rs"));
    rust.map(|path| Source {
        text: fs::read_to_string(&path).unwrap(),
        path: path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/"),
    })
    .collect()
}

/// The layers of `lib.rs`, bottom to top.
fn layers() -> Vec<String> {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';').map(str::to_owned)).collect()
}

fn layer_of(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("src/")?;
    let first = rest.split('/').next()?;
    Some(first.strip_suffix(".rs").unwrap_or(first))
}

/// Every `crate::layer` that a file names, outside comments.
fn used_layers(text: &str) -> BTreeSet<&str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut used = BTreeSet::new();
    for line in code {
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
            used.insert(&rest[..end]);
        }
    }
    used
}

#[track_caller]
fn check(what: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{what}:\n  {}", breaches.join("\n  "));
}

#[test]
fn a_layer_uses_only_layers_below_it() {
    let layers = layers();
    assert!(layers.len() > 10, "the layers are read from lib.rs");
    let rank = |name: &str| layers.iter().position(|l| l == name);
    let mut breaches = Vec::new();
    for source in sources() {
        let Some(own) = layer_of(&source.path).and_then(|l| rank(l).map(|r| (l.to_owned(), r))) else { continue };
        for used in used_layers(&source.text) {
            let Some(used_rank) = rank(used) else { continue };
            let siblings = own.0 != used && SIBLINGS.contains(&own.0.as_str()) && SIBLINGS.contains(&used);
            if used_rank > own.1 || siblings {
                breaches.push(format!("{} uses {used}", source.path));
            }
        }
    }
    check("these files reach up or sideways", &breaches);
}

#[test]
fn every_file_is_part_of_a_module() {
    let sources = sources();
    let mut breaches = Vec::new();
    for source in sources.iter().filter(|s| s.path.starts_with("src/")) {
        let path = Path::new(&source.path);
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let (parent, name) = match stem.as_str() {
            "lib" | "main" => continue,
            "mod" => {
                let folder = path.parent().unwrap();
                (folder.parent().unwrap().to_owned(), folder.file_name().unwrap().to_string_lossy().into_owned())
            }
            _ => (path.parent().unwrap().to_owned(), stem),
        };
        let heads = [parent.join("mod.rs"), parent.join("lib.rs"), parent.with_extension("rs")];
        let declared = sources.iter().filter(|s| heads.iter().any(|h| h == Path::new(&s.path))).any(|s| {
            s.text.lines().any(|line| {
                let line = line.trim();
                let line = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub(super) ")).unwrap_or(line);
                let line = line.strip_prefix("pub ").unwrap_or(line);
                line == format!("mod {name};")
            })
        });
        if !declared {
            breaches.push(source.path.clone());
        }
    }
    check("these files are part of no module", &breaches);
}

#[test]
fn every_file_opens_with_what_it_holds() {
    let headless = |s: &Source| {
        let mut lines = s.text.lines().filter(|l| !l.starts_with("#!["));
        !lines.next().is_some_and(|first| first.starts_with("//! "))
    };
    let breaches: Vec<String> = sources().into_iter().filter(headless).map(|s| s.path).collect();
    check("these files do not open with `//!`", &breaches);
}

#[test]
fn files_stay_short() {
    let text = fs::read_to_string(root().join("tidy_exceptions.txt")).unwrap();
    let exceptions: Vec<(&str, usize)> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (path, lines) = line.split_once(' ').expect("a path and a number");
            (path, lines.parse().expect("a number"))
        })
        .collect();
    let sources = sources();
    let mut breaches = Vec::new();
    for source in &sources {
        let lines = source.lines();
        let limit = exceptions.iter().find(|(path, _)| *path == source.path).map_or(LINES_MAX, |(_, lines)| *lines);
        if lines > limit {
            breaches.push(format!("{} has {lines} lines, {limit} are allowed", source.path));
        }
    }
    for (path, _) in exceptions {
        let lines = sources.iter().find(|s| s.path == path).map_or(0, Source::lines);
        if lines <= LINES_MAX {
            breaches.push(format!("{path} needs no exception any more"));
        }
    }
    check("these files are too long, or their exceptions are stale", &breaches);
}

#[test]
fn the_map_names_every_folder_and_no_other() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut breaches = Vec::new();
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("src/{}/", path.file_name().unwrap().to_string_lossy());
        if path.is_dir() && !map.contains(&format!("`{name}`")) {
            breaches.push(format!("{name} is not in ARCHITECTURE.md"));
        }
    }
    for (at, _) in map.match_indices("`src/") {
        let rest = &map[at + 1..];
        let name = &rest[..rest.find('`').unwrap_or(rest.len())];
        if name.ends_with('/') && !root().join(name).is_dir() {
            breaches.push(format!("ARCHITECTURE.md names {name}, which is not there"));
        }
    }
    check("map and folders differ", &breaches);
}

#[test]
fn sql_and_actix_stand_where_they_belong() {
    let mut breaches = Vec::new();
    for source in sources().iter().filter(|s| s.path.starts_with("src/") && s.path != "src/tidy.rs") {
        let code: Vec<&str> = source.text.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
        let has = |word: &str| code.iter().any(|line| line.contains(word));
        if has("sqlx") && !source.path.starts_with("src/storage/sqlite") {
            breaches.push(format!("{} uses sqlx", source.path));
        }
        if (has("actix_web::") || has("actix_http::")) && !source.path.starts_with("src/server/transport") {
            breaches.push(format!("{} uses actix", source.path));
        }
    }
    check("these libraries stand outside their folder", &breaches);
}

#[test]
fn modules_are_named_for_what_they_hold() {
    let vague = |s: &Source| {
        let stem = Path::new(&s.path).file_stem().unwrap().to_string_lossy().into_owned();
        NAMES_FORBIDDEN.contains(&stem.as_str())
            || Path::new(&s.path)
                .parent()
                .is_some_and(|p| p.components().any(|c| NAMES_FORBIDDEN.contains(&&*c.as_os_str().to_string_lossy())))
    };
    let breaches: Vec<String> = sources().into_iter().filter(vague).map(|s| s.path).collect();
    check("these names say nothing", &breaches);
}

#[test]
fn merged_migrations_do_not_change() {
    use sha2::{Digest, Sha256};
    let list = fs::read_to_string(root().join("migrations/HASHES")).unwrap();
    let mut breaches = Vec::new();
    for entry in fs::read_dir(root().join("migrations")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "sql") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let digest: String = Sha256::digest(fs::read(&path).unwrap()).iter().map(|b| format!("{b:02x}")).collect();
        if !list.lines().any(|line| line == format!("{digest}  {name}")) {
            breaches.push(format!("{digest}  {name}"));
        }
    }
    check("these migrations are not in migrations/HASHES as they are", &breaches);
}

#[test]
fn what_is_left_to_do_names_an_issue() {
    let mark = concat!("TO", "DO");
    let mut breaches = Vec::new();
    for source in sources() {
        for (index, line) in source.text.lines().enumerate() {
            if line.contains(mark) && !line.contains(&format!("{mark}(#")) {
                breaches.push(format!("{}:{}", source.path, index + 1));
            }
        }
    }
    check("these lines do not name an issue", &breaches);
}

#[test]
fn documents_do_not_point_at_lines() {
    let mut paths = Vec::new();
    for name in ["README.md", "ARCHITECTURE.md"] {
        paths.push(root().join(name));
    }
    let pointing =
        |text: &str| text.match_indices("#L").any(|(at, _)| text[at + 2..].starts_with(|c: char| c.is_ascii_digit()));
    let breaches: Vec<String> = paths
        .iter()
        .filter(|path| pointing(&fs::read_to_string(path).unwrap()))
        .map(|path| path.display().to_string())
        .collect();
    check("these documents point at line numbers", &breaches);
}
