//! The `+k8s:` tags of a table as checks that can be run: parsed once for each table.

use std::collections::BTreeMap;

use super::super::{Field, Rule, Struct, Table};
use super::Level;

/// How firmly upstream holds to a rule (`+k8s:alpha`, `+k8s:beta`, neither).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Stability {
    Alpha,
    Beta,
    Standard,
}

/// One check of a field, an item or a key.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Check {
    pub(super) stability: Stability,
    pub(super) what: What,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum What {
    Required,
    Optional,
    Forbidden,
    Immutable,
    Update(String),
    Monotonic,
    Format(String),
    MaxItems(usize),
    MinItems(usize),
    MaxLength(usize),
    MinLength(usize),
    MaxBytes(usize),
    Minimum(i64),
    Maximum(i64),
    NotEqual(String),
    Enum,
    /// `listType=set`, `unique=set`.
    UniqueSet,
    /// `listType=map`, `unique=map`.
    UniqueMap,
    ListMapKey(String),
    CustomUnique,
    EachValue(Box<Check>),
    EachKey(Box<Check>),
    Subfield(String, Box<Check>),
    IfEnabled(String, Box<Check>),
    IfDisabled(String, Box<Check>),
    IfMode(String, Box<Check>),
    ModeDiscriminator,
    UnionMember(String),
    ZeroOrOneOfMember(String),
    DependentRequired(String),
    DependentForbidden(String),
    /// The type's own rules do not count here.
    Opaque,
}

/// The checks of one struct.
#[derive(Debug, Default)]
pub(in crate::api::schema) struct Checks {
    /// By the place of the field.
    pub(super) fields: Vec<Vec<Check>>,
    pub(super) unions: Vec<Union>,
    /// The places of the fields that have something to check, themselves or in what they hold.
    enforced: Box<[u16]>,
    /// The same where alpha rules and enums count too.
    all: Box<[u16]>,
    /// The place of the field that says in which mode the struct is.
    pub(super) mode: Option<usize>,
}

/// Fields of which exactly one, or at most one, may be set.
#[derive(Debug, PartialEq)]
pub(super) struct Union {
    pub(super) stability: Stability,
    pub(super) empty_allowed: bool,
    pub(super) members: Vec<usize>,
}

impl Checks {
    /// The places of the fields to look at.
    pub(super) fn places(&self, level: Level) -> &[u16] {
        match level {
            Level::Enforced => &self.enforced,
            Level::All => &self.all,
        }
    }
}

impl Check {
    /// Whether it can find a fault by itself, or lets another one find it.
    fn finds(&self) -> bool {
        use What::{CustomUnique, ListMapKey, ModeDiscriminator, Opaque, Optional, UnionMember, ZeroOrOneOfMember};
        let silent = matches!(
            self.what,
            Optional
                | ListMapKey(_)
                | CustomUnique
                | ModeDiscriminator
                | Opaque
                | UnionMember(_)
                | ZeroOrOneOfMember(_)
        );
        !silent
    }
}

/// Reads the rules of all structs.
pub(in crate::api::schema) fn compile(table: &Table) -> Vec<Checks> {
    let mut all: Vec<Checks> = table.iter().map(|(_, of)| compile_struct(of)).collect();
    for level in [Level::Enforced, Level::All] {
        let found: Vec<Box<[u16]>> = places(table, &all, level);
        for (checks, places) in all.iter_mut().zip(found) {
            match level {
                Level::Enforced => checks.enforced = places,
                Level::All => checks.all = places,
            }
        }
    }
    all
}

/// Of each struct, the fields that a walk at a level must look at.
fn places(table: &Table, all: &[Checks], level: Level) -> Vec<Box<[u16]>> {
    let counts = |check: &Check| check.finds() && level.counts(check.stability);
    let enums = |field: &Field| field.extra.as_deref().is_some_and(|extra| !extra.enums.is_empty());
    let checked = |field: &Field, checks: &[Check]| checks.iter().any(counts) || (level == Level::All && enums(field));
    let fields = |(of, checks): (&Struct, &Checks)| {
        let union = checks.unions.iter().any(|union| level.counts(union.stability));
        union || of.fields.iter().zip(&checks.fields).any(|(field, checks)| checked(field, checks))
    };
    let direct = table.iter().zip(all).map(|((_, of), checks)| fields((of, checks))).collect();
    let reaching = table.reaching(direct);
    let inside = |field: &Field| field.shape.struct_inside().is_some_and(|id| reaching[id.0 as usize]);
    let of_struct = |((_, of), checks): ((_, &Struct), &Checks)| {
        let fields = (0u16..).zip(of.fields.iter().zip(&checks.fields));
        let looked_at = fields.filter(|(_, (field, checks))| checked(field, checks) || inside(field));
        looked_at.map(|(place, _)| place).collect()
    };
    table.iter().zip(all).map(of_struct).collect()
}

fn compile_struct(of: &Struct) -> Checks {
    let fields: Vec<Vec<Check>> = of.fields.iter().map(compile_field).collect();
    let mut unions: BTreeMap<(bool, &str), Union> = BTreeMap::new();
    for (place, check) in fields.iter().enumerate().flat_map(|(place, list)| list.iter().map(move |c| (place, c))) {
        let (empty_allowed, name) = match &check.what {
            What::UnionMember(name) => (false, name.as_str()),
            What::ZeroOrOneOfMember(name) => (true, name.as_str()),
            _ => continue,
        };
        let union = unions.entry((empty_allowed, name)).or_insert_with(|| Union {
            stability: check.stability,
            empty_allowed,
            members: Vec::new(),
        });
        union.members.push(place);
    }
    let unions = unions.into_values().collect();
    let mode = fields.iter().position(|checks| checks.iter().any(|check| check.what == What::ModeDiscriminator));
    Checks { fields, unions, mode, ..Checks::default() }
}

fn compile_field(field: &Field) -> Vec<Check> {
    field.rules().iter().filter_map(|rule| compile_rule(rule, Stability::Standard)).collect()
}

/// `None` for tags that check nothing, or that only upstream's generator understands.
fn compile_rule(rule: &Rule, stability: Stability) -> Option<Check> {
    let (arguments, payload) = split_arguments(&rule.args);
    let nested = || parse_tag(payload).and_then(|inner| compile_rule(&inner, stability)).map(Box::new);
    let value = || unquoted(if payload.is_empty() { arguments } else { payload });
    let number = || value().parse::<usize>().ok();
    let what = match rule.name.as_ref() {
        "alpha" => return compile_rule(&parse_tag(payload)?, Stability::Alpha),
        "beta" => return compile_rule(&parse_tag(payload)?, Stability::Beta.min(stability)),
        "required" => What::Required,
        "optional" => What::Optional,
        "forbidden" => What::Forbidden,
        "immutable" => What::Immutable,
        "update" => What::Update(value().to_owned()),
        "monotonic" => What::Monotonic,
        "format" => What::Format(value().to_owned()),
        "maxItems" | "maxProperties" => What::MaxItems(number()?),
        "minItems" | "minProperties" => What::MinItems(number()?),
        "maxLength" => What::MaxLength(number()?),
        "minLength" => What::MinLength(number()?),
        "maxBytes" => What::MaxBytes(number()?),
        "minimum" => What::Minimum(value().parse().ok()?),
        "maximum" => What::Maximum(value().parse().ok()?),
        "neq" => What::NotEqual(value().to_owned()),
        "enum" => What::Enum,
        "listType" | "unique" if value() == "set" => What::UniqueSet,
        "listType" | "unique" if value() == "map" => What::UniqueMap,
        "listMapKey" => What::ListMapKey(value().to_owned()),
        "customUnique" => What::CustomUnique,
        "eachVal" => What::EachValue(nested()?),
        "eachKey" => What::EachKey(nested()?),
        "subfield" => What::Subfield(arguments.to_owned(), nested()?),
        "ifEnabled" => What::IfEnabled(unquoted(arguments).to_owned(), nested()?),
        "ifDisabled" => What::IfDisabled(unquoted(arguments).to_owned(), nested()?),
        "ifMode" => What::IfMode(unquoted(arguments).to_owned(), nested()?),
        "modeDiscriminator" => What::ModeDiscriminator,
        "unionMember" => What::UnionMember(named(arguments, "union")),
        "zeroOrOneOfMember" => What::ZeroOrOneOfMember(named(arguments, "union")),
        "dependentRequired" => What::DependentRequired(unquoted(arguments).to_owned()),
        "dependentForbidden" => What::DependentForbidden(unquoted(arguments).to_owned()),
        "opaqueType" => What::Opaque,
        _ => return None,
    };
    Some(Check { stability, what })
}

/// `(a)=b` gives `a` and `b`; anything else is all payload.
fn split_arguments(text: &str) -> (&str, &str) {
    let Some(inner) = text.strip_prefix('(') else { return ("", text.strip_prefix('=').unwrap_or(text)) };
    let mut quoted = false;
    let end = inner.char_indices().find(|(_, c)| {
        quoted ^= *c == '"';
        *c == ')' && !quoted
    });
    match end {
        Some((at, _)) => (&inner[..at], inner[at + 1..].strip_prefix('=').unwrap_or(&inner[at + 1..])),
        None => ("", text),
    }
}

/// A tag inside another: `+k8s:format=k8s-short-name`.
fn parse_tag(text: &str) -> Option<Rule> {
    let text = text.strip_prefix("+k8s:")?;
    let end = text.find(['(', '=']).unwrap_or(text.len());
    let (name, args) = text.split_at(end);
    let args = args.strip_prefix('=').unwrap_or(args);
    Some(Rule { name: name.to_owned().into(), args: args.to_owned().into() })
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text)
}

/// The value of a named argument.
fn named(arguments: &str, name: &str) -> String {
    let pairs = arguments.split(',').filter_map(|pair| pair.split_once(':'));
    pairs.filter(|(key, _)| key.trim() == name).map(|(_, v)| unquoted(v.trim()).to_owned()).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &'static str, args: &'static str, expected: Option<(Stability, What)>) {
        let rule = Rule { name: name.into(), args: args.into() };
        let expected = expected.map(|(stability, what)| Check { stability, what });
        assert_eq!(compile_rule(&rule, Stability::Standard), expected);
    }

    #[test]
    fn tags_are_read_through_their_wrappers() {
        check("required", "", Some((Stability::Standard, What::Required)));
        check("beta", "(since: \"1.37\")=+k8s:maxItems=32", Some((Stability::Beta, What::MaxItems(32))));
        let short = Check { stability: Stability::Beta, what: What::Format("k8s-short-name".to_owned()) };
        check(
            "beta",
            "(since: \"1.37\")=+k8s:eachKey=+k8s:format=\"k8s-short-name\"",
            Some((Stability::Beta, What::EachKey(Box::new(short)))),
        );
        let forbidden = Check { stability: Stability::Standard, what: What::Forbidden };
        check(
            "ifDisabled",
            "(\"Gate\")=+k8s:forbidden",
            Some((Stability::Standard, What::IfDisabled("Gate".to_owned(), Box::new(forbidden)))),
        );
        check("unionMember", "(union: \"x\")", Some((Stability::Standard, What::UnionMember("x".to_owned()))));
        check("supportsSubresource", "/status", None);
    }
}
