//! Reads `gates.txt`, `plugins.txt` and `openapi.txt`, whose lines are rows of plain words.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::api::GroupVersionKind;
use crate::api::schema::{Table, TypeId};

use super::kinds::{find, parse_kind_name};
use super::line::{Line, lines};
use super::{Malformed, WELL_FORMED};

/// A feature gate of kube-apiserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    pub name: &'static str,
    pub default: bool,
    pub stage: Stage,
    /// It cannot be set to anything but its default.
    pub locked: bool,
    /// The gates without which it cannot be on.
    pub needs: &'static [&'static str],
}

static GATES: LazyLock<Vec<Gate>> = LazyLock::new(|| parse_gates(include_str!("gates.txt")).expect(WELL_FORMED));

/// All gates, in alphabetical order.
pub fn gates() -> &'static [Gate] {
    &GATES
}

/// How far a feature has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Alpha,
    Beta,
    Stable,
    Deprecated,
}

/// A feature gate by name.
pub fn gate(name: &str) -> Option<&'static Gate> {
    gates().binary_search_by_key(&name, |gate| gate.name).ok().map(|index| &gates()[index])
}

/// An admission plugin of kube-apiserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionPlugin {
    pub name: &'static str,
    pub on_by_default: bool,
}

fn parse_gates(text: &'static str) -> Result<Vec<Gate>, Malformed> {
    lines(text).map(parse_gate).collect()
}

fn parse_gate(line: Line) -> Result<Gate, Malformed> {
    let (row, needs) = line.text.split_once(" needs ").unwrap_or((line.text, ""));
    let words: Vec<_> = row.split(' ').collect();
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
    let needs: Vec<_> = needs.split_terminator(' ').collect();
    // Read once; they live as long as the text does.
    Ok(Gate { name, default: default == "on", stage, locked, needs: needs.leak() })
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
        assert!(gates().iter().all(|g| g.stage != Stage::Alpha || !g.default));
        assert!(gates().is_sorted_by_key(|g| g.name));
        assert!(gates().iter().flat_map(|g| g.needs).all(|needed| gate(needed).is_some()));
        assert!(facts.kinds.iter().filter_map(|k| k.gate).all(|name| gate(name).is_some()));
        assert_eq!(gate("WatchList").map(|g| g.default), Some(true));
        assert_eq!(gate("CompositePodGroup").unwrap().needs, ["GenericWorkload", "TopologyAwareWorkloadScheduling"]);
    }

    #[test]
    fn delete_options_belong_to_every_group_version() {
        let facts = Facts::load();
        let id = facts.types.find("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions").unwrap();
        let kinds = &facts.openapi_kinds[&id];
        assert!(kinds.contains(&GroupVersionKind::of("apps", "v1", "DeleteOptions")) && kinds.len() > 50);
    }
}
