//! Reads `types.txt` into a `Table`. The head of that file describes its lines.

use std::borrow::Cow;

use crate::api::schema::{Extra, Field, Patch, Proto, Rule, Struct, Table, TypeId};

use super::Malformed;
use super::line::{Line, lines};
use super::shape::shape;

/// Two passes: the names first, since types refer to each other in any order.
pub(super) fn parse(text: &'static str) -> Result<Table, Malformed> {
    let mut table = Table::default();
    for line in lines(text).filter(|line| line.depth == 0) {
        table.add(struct_head(line.text).map_err(|what| line.malformed(what))?);
    }
    let mut body = Body::default();
    let mut next = 0;
    for line in lines(text) {
        if line.depth == 0 {
            body.finish(&mut table);
            body = Body { of: Some(TypeId(next)), ..Body::default() };
            next += 1;
            continue;
        }
        body.line(line, &table).map_err(|what| line.malformed(what))?;
    }
    body.finish(&mut table);
    Ok(table)
}

fn struct_head(line: &'static str) -> Result<Struct, String> {
    let mut words = line.split(' ');
    let mut of = Struct { name: Cow::Borrowed(words.next().unwrap_or_default()), ..Struct::default() };
    for word in words {
        match word.split_once('=') {
            None if word == "atomic" => of.atomic = true,
            Some(("unions", json)) => of.unions = Some(Cow::Borrowed(json)),
            _ => return Err(format!("no mark of a type: {word}")),
        }
    }
    Ok(of)
}

/// What stands under the name of a type.
#[derive(Default)]
struct Body {
    of: Option<TypeId>,
    fields: Vec<Field>,
    rules: Vec<Rule>,
}

impl Body {
    fn line(&mut self, line: Line, table: &Table) -> Result<(), String> {
        if line.depth > 1 {
            let field = self.fields.last_mut().ok_or("a fact without a field")?;
            return add_fact(field.extra.get_or_insert_default(), line.text);
        }
        match line.text.strip_prefix('+') {
            Some(rule) => self.rules.push(parse_rule(rule)),
            None => self.fields.push(parse_field(line.text, table)?),
        }
        Ok(())
    }

    fn finish(&mut self, table: &mut Table) {
        let Some(id) = self.of else { return };
        let of = table.get_mut(id);
        of.fields = std::mem::take(&mut self.fields);
        of.fields.shrink_to_fit();
        of.rules = std::mem::take(&mut self.rules);
    }
}

fn parse_field(line: &'static str, table: &Table) -> Result<Field, String> {
    let mut words = line.split(' ');
    let mut next = |what: &str| words.next().ok_or_else(|| format!("a field without its {what}"));
    let name = Cow::Borrowed(next("name")?);
    let shape = shape(next("shape")?, table)?;
    let proto = parse_path(next("path")?)?;
    let marks = next("marks")?;
    let (mut patch, mut go_type, mut embedded_in, mut granular) = (Patch::default(), None, None, false);
    for word in words {
        let (mark, value) = word.split_once('=').ok_or_else(|| format!("no mark of a field: {word}"))?;
        match mark {
            "patch" => patch = parse_patch(value)?,
            "go" => go_type = Some(Cow::Borrowed(value)),
            "map" => granular = value == "granular",
            "in" => embedded_in = Some(Cow::Borrowed(value)),
            _ => return Err(format!("no mark of a field: {word}")),
        }
    }
    if let Some(unknown) = marks.chars().find(|mark| !"*?!.".contains(*mark)) {
        return Err(format!("no mark of a field: {unknown}"));
    }
    let more = go_type.is_some() || embedded_in.is_some() || granular;
    Ok(Field {
        name,
        shape,
        pointer: marks.contains('*'),
        omit_empty: marks.contains('?'),
        required: marks.contains('!'),
        proto,
        patch,
        extra: more.then(|| Box::new(Extra { go_type, embedded_in, granular, ..Extra::default() })),
    })
}

fn parse_path(text: &str) -> Result<Proto, String> {
    let tags: Result<Vec<u32>, _> = text.split('.').map(str::parse).collect();
    match tags.map_err(|_| format!("no path of tags: {text}"))?[..] {
        [tag] => Ok(Proto { tag, via: 0, via_inner: 0 }),
        [via, tag] => Ok(Proto { tag, via, via_inner: 0 }),
        [via, via_inner, tag] => Ok(Proto { tag, via, via_inner }),
        _ => Err(format!("more than two embedded messages: {text}")),
    }
}

fn parse_patch(text: &'static str) -> Result<Patch, String> {
    let (strategies, key) = text.split_once('/').map_or((text, None), |(strategies, key)| (strategies, Some(key)));
    let mut patch = Patch { merge_key: key.map(Cow::Borrowed), ..Patch::default() };
    for strategy in strategies.split(',') {
        match strategy {
            "merge" => patch.merge = true,
            "replace" => patch.replace = true,
            "retainKeys" => patch.retain_keys = true,
            _ => return Err(format!("no patch strategy: {strategy}")),
        }
    }
    Ok(patch)
}

fn add_fact(extra: &mut Extra, fact: &'static str) -> Result<(), String> {
    if let Some(rule) = fact.strip_prefix('+') {
        extra.rules.push(parse_rule(rule));
        return Ok(());
    }
    let (word, value) = fact.split_once(' ').ok_or_else(|| format!("a fact without a value: {fact}"))?;
    match word {
        "enum" => extra.enums = value.split(' ').map(|v| Cow::Borrowed(if v == "\"\"" { "" } else { v })).collect(),
        "default" => extra.default = Some(serde_json::from_str(value).map_err(|_| format!("not JSON: {value}"))?),
        "format" => extra.format = Some(Cow::Borrowed(value)),
        "gate" => extra.gate = Some(Cow::Borrowed(value)),
        _ => return Err(format!("no fact of a field: {fact}")),
    }
    Ok(())
}

fn parse_rule(text: &'static str) -> Rule {
    let (name, args) = text.split_once(' ').unwrap_or((text, ""));
    Rule { name: Cow::Borrowed(name), args: Cow::Borrowed(args) }
}

#[cfg(test)]
mod tests {
    use super::super::types;
    use super::*;
    use crate::api::schema::{ListKind, Shape};

    const POD_SPEC: &str = "io.k8s.api.core.v1.PodSpec";

    #[track_caller]
    fn field<'a>(table: &'a Table, of: &str, name: &str) -> &'a Field {
        let id = table.find(of).unwrap_or_else(|| panic!("no {of}"));
        table.get(id).field(name).unwrap_or_else(|| panic!("no {of}.{name}"))
    }

    fn check_shape(table: &Table, shape: &Shape) {
        match shape {
            Shape::Struct(id) | Shape::SchemaOrArray(id) | Shape::SchemaOrBool(id) | Shape::SchemaOrStrings(id) => {
                assert!((id.0 as usize) < table.iter().count());
            }
            Shape::List(list) => {
                if let (ListKind::Map(keys), Shape::Struct(item)) = (&list.kind, &list.item) {
                    for key in keys {
                        assert!(table.get(*item).field(key).is_some(), "{}: no key {key}", table.get(*item).name);
                    }
                }
                check_shape(table, &list.item);
            }
            Shape::Map(map) => check_shape(table, &map.value),
            _ => {}
        }
    }

    #[test]
    fn every_field_refers_to_types_and_keys_that_exist() {
        let table = types();
        assert!(table.iter().count() > 900);
        for (id, of) in table.iter() {
            assert_eq!(table.find(&of.name), Some(id));
            for field in &of.fields {
                check_shape(&table, &field.shape);
            }
        }
    }

    #[test]
    fn names_and_tags_are_unique_in_a_type() {
        for (_, of) in types().iter() {
            let mut names: Vec<_> = of.fields.iter().map(|f| &f.name).collect();
            let tagged = of.fields.iter().filter(|f| f.proto.tag != 0);
            let mut tags: Vec<_> = tagged.map(|f| (f.proto.via, f.proto.via_inner, f.proto.tag)).collect();
            let (all_names, all_tags) = (names.len(), tags.len());
            names.sort_unstable();
            names.dedup();
            tags.sort_unstable();
            tags.dedup();
            assert_eq!((names.len(), tags.len()), (all_names, all_tags), "{}", of.name);
        }
    }

    #[test]
    fn a_merge_key_is_a_field_of_the_items() {
        let table = types();
        for (_, of) in table.iter() {
            for field in of.fields.iter().filter(|f| f.patch.merge_key.is_some()) {
                let Shape::List(list) = &field.shape else { panic!("{}.{} is no list", of.name, field.name) };
                let Shape::Struct(item) = list.item else { panic!("{}.{} holds no structs", of.name, field.name) };
                let key = field.patch.merge_key.as_deref().unwrap();
                assert!(table.get(item).field(key).is_some(), "{}.{}: {key}", of.name, field.name);
            }
        }
    }

    #[test]
    fn the_table_is_small() {
        let table = types();
        let fields: usize = table.iter().map(|(_, s)| s.fields.len()).sum();
        let extras = table.iter().flat_map(|(_, s)| &s.fields).filter(|f| f.extra.is_some()).count();
        let bytes =
            fields * size_of::<Field>() + extras * size_of::<Extra>() + table.iter().count() * size_of::<Struct>();
        assert!(bytes < 2_000_000, "{fields} fields, {extras} extras, {bytes} bytes");
    }

    #[test]
    fn containers_are_merged_by_name_and_required() {
        let table = types();
        let containers = field(&table, POD_SPEC, "containers");
        let Shape::List(list) = &containers.shape else { panic!("no list") };
        assert_eq!(list.kind, ListKind::Map(vec!["name".into()]));
        assert!(containers.required && containers.patch.merge && !containers.omit_empty);
        assert_eq!(containers.patch.merge_key.as_deref(), Some("name"));
        assert_eq!(containers.proto, Proto { tag: 2, ..Proto::default() });
    }

    #[test]
    fn embedded_structs_keep_their_place_on_the_wire() {
        let table = types();
        let scope = field(&table, "io.k8s.api.admissionregistration.v1.NamedRuleWithOperations", "scope");
        assert_eq!(scope.proto, Proto { tag: 4, via: 2, via_inner: 2 });
        assert_eq!(field(&table, "io.k8s.api.core.v1.Volume", "emptyDir").proto.via, 2);
        assert_eq!(field(&table, "io.k8s.api.core.v1.Pod", "kind").proto.tag, 0);
    }

    #[test]
    fn defaults_enums_and_rules_are_read() {
        let table = types();
        let protocol = field(&table, "io.k8s.api.core.v1.ServicePort", "protocol");
        assert_eq!(protocol.default(), Some(&"TCP".into()));
        assert_eq!(protocol.extra.as_ref().unwrap().enums, ["SCTP", "TCP", "UDP"]);
        assert!(table.iter().flat_map(|(_, s)| &s.fields).any(|f| f.rules().iter().any(|r| r.name == "maxItems")));
    }

    #[test]
    fn a_malformed_line_is_named() {
        let error = parse("a.B\n\tname nothing 1 ?\n").unwrap_err();
        assert_eq!(error, Malformed { line: 2, what: "no type is called nothing".into() });
    }
}
