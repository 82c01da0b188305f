//! Reads `gates.txt`, `plugins.txt` and `openapi.txt`, whose lines are rows of plain words.

use std::collections::HashMap;

use crate::api::GroupVersionKind;
use crate::api::schema::{Table, TypeId};

use super::Malformed;
use super::kinds::{find, parse_kind_name};
use super::line::{Line, lines};

/// A feature gate of kube-apiserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    pub name: &'static str,
    pub default: bool,
    pub stage: Stage,
    /// It cannot be set to anything but its default.
    pub locked: bool,
}

/// How far a feature has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Alpha,
    Beta,
    Stable,
    Deprecated,
}

/// An admission plugin of kube-apiserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionPlugin {
    pub name: &'static str,
    pub on_by_default: bool,
}

pub(super) fn parse_gates(text: &'static str) -> Result<Vec<Gate>, Malformed> {
    lines(text).map(parse_gate).collect()
}

fn parse_gate(line: Line) -> Result<Gate, Malformed> {
    let words: Vec<_> = line.text.split(' ').collect();
    let (name, default, stage, locked) = match *words.as_slice() {
        [name, default, stage] => (name, default, stage, false),
        [name, default, stage, "locked"] => (name, default, stage, true),
        _ => return Err(line.malformed("no row of a gate")),
    };
    let stage = match stage {
        "alpha" => Stage::Alpha,
        "beta" => Stage::Beta,
        "ga" => Stage::Stable,
        "deprecated" => Stage::Deprecated,
        _ => return Err(line.malformed(format!("no stage: {stage}"))),
    };
    Ok(Gate { name, default: default == "on", stage, locked })
}

pub(super) fn parse_plugins(text: &'static str) -> Result<Vec<AdmissionPlugin>, Malformed> {
    let row = |line: Line| {
        let [name, default] = line.words()?;
        Ok(AdmissionPlugin { name, on_by_default: default == "on" })
    };
    lines(text).map(row).collect()
}

pub(super) fn parse_openapi(
    text: &'static str,
    table: &Table,
) -> Result<HashMap<TypeId, Vec<GroupVersionKind>>, Malformed> {
    let row = |line: Line| {
        let mut words = line.text.split(' ');
        let id = find(line, words.next().unwrap_or_default(), table)?;
        let kinds: Result<Vec<_>, _> = words.map(|word| parse_kind_name(line, word)).collect();
        Ok((id, kinds?))
    };
    lines(text).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Facts;
    use super::*;

    #[test]
    fn quota_is_the_last_plugin_that_is_on() {
        let facts = Facts::load();
        let on: Vec<_> = facts.plugins.iter().filter(|p| p.on_by_default).map(|p| p.name).collect();
        assert_eq!((on[0], on[on.len() - 1]), ("NamespaceLifecycle", "ResourceQuota"));
    }

    #[test]
    fn alpha_gates_are_off_and_every_gate_of_a_kind_is_known() {
        let facts = Facts::load();
        assert!(facts.gates.iter().all(|g| g.stage != Stage::Alpha || !g.default));
        assert!(facts.kinds.iter().filter_map(|k| k.gate).all(|gate| facts.gate(gate).is_some()));
        assert_eq!(facts.gate("WatchList").map(|g| g.default), Some(true));
    }

    #[test]
    fn delete_options_belong_to_every_group_version() {
        let facts = Facts::load();
        let id = facts.types.find("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions").unwrap();
        let kinds = &facts.openapi_kinds[&id];
        assert!(kinds.contains(&GroupVersionKind::of("apps", "v1", "DeleteOptions")) && kinds.len() > 50);
    }
}
