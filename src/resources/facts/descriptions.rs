//! Reads `descriptions.txt`: what types and fields are for, as upstream's documents and `kubectl explain` tell it. Only
//! where the type stands in the file is kept; a text is read when it is asked for.

use std::borrow::Cow;
use std::collections::HashMap;

/// What all built-in types and their fields are for.
pub struct Descriptions {
    /// The section of each type, by its name in the documents.
    sections: HashMap<&'static str, Section>,
}

#[derive(Clone, Copy)]
struct Section {
    own: &'static str,
    /// The lines of the fields.
    fields: &'static str,
}

/// The section of what stands in paths and queries without being a field of a type.
const PARAMETERS: &str = "parameters";

impl Descriptions {
    /// Finds the types in the file that is part of the binary.
    pub fn load() -> Self {
        Self::parse(include_str!("descriptions.txt"))
    }

    fn parse(text: &'static str) -> Self {
        let mut sections = HashMap::new();
        let mut rest = text;
        while let Some((head, after)) = rest.split_once('\n') {
            let mut fields = 0;
            while after[fields..].starts_with('\t') {
                fields += after[fields..].find('\n').map_or(after.len() - fields, |end| end + 1);
            }
            let (name, own) = head.split_once('\t').unwrap_or((head, ""));
            if !head.starts_with('#') {
                sections.insert(name, Section { own, fields: &after[..fields] });
            }
            rest = &after[fields..];
        }
        Self { sections }
    }

    /// What a type is for.
    pub fn of_type(&self, name: &str) -> Option<Cow<'static, str>> {
        let own = self.sections.get(name)?.own;
        if own.is_empty() { None } else { self.text(own) }
    }

    /// What a field of a type is for.
    pub fn of_field(&self, name: &str, field: &str) -> Option<Cow<'static, str>> {
        let mut lines = self.sections.get(name)?.fields.lines();
        self.text(lines.find_map(|line| line.strip_prefix('\t')?.strip_prefix(field)?.strip_prefix('\t'))?)
    }

    /// What a parameter is for that is no field of a type.
    pub fn of_parameter(&self, name: &str) -> Option<Cow<'static, str>> {
        self.of_field(PARAMETERS, name)
    }

    /// A text as it is written, or the one that it refers to.
    fn text(&self, written: &'static str) -> Option<Cow<'static, str>> {
        match written.strip_prefix('@').map(|place| place.split_once(' ').ok_or(place)) {
            Some(Ok((name, field))) => self.of_field(name, field),
            Some(Err(name)) => self.of_type(name),
            None if written.contains('\\') => Some(Cow::Owned(unescaped(written))),
            None => Some(Cow::Borrowed(written)),
        }
    }
}

fn unescaped(written: &str) -> String {
    let mut text = String::with_capacity(written.len());
    let mut letters = written.chars();
    while let Some(letter) = letters.next() {
        text.push(match (letter, letter == '\\') {
            (_, true) => match letters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some(other) => other,
                None => '\\',
            },
            (letter, false) => letter,
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::Facts;
    use super::*;

    #[test]
    fn types_and_fields_are_described() {
        let descriptions = Descriptions::load();
        let spec = "io.k8s.api.apps.v1.DeploymentSpec";
        assert!(descriptions.of_type(spec).unwrap().starts_with("DeploymentSpec is the specification"));
        assert!(descriptions.of_field(spec, "replicas").unwrap().starts_with("Number of desired pods."));
        assert_eq!(descriptions.of_field(spec, "replica"), None);
        assert!(descriptions.of_parameter("pretty").is_some());
    }

    #[test]
    fn a_text_stands_once_and_is_found_from_elsewhere() {
        let descriptions = Descriptions::parse("# head\na\tone\\ntwo\n\tx\t@a\nb\t@a x\nc\n\ty\t\\\\n\n");
        assert_eq!(descriptions.of_field("a", "x").as_deref(), Some("one\ntwo"));
        assert_eq!(descriptions.of_type("b").as_deref(), Some("one\ntwo"));
        assert_eq!(descriptions.of_type("c"), None);
        assert_eq!(descriptions.of_field("c", "y").as_deref(), Some("\\n"));
    }

    #[test]
    fn every_reference_leads_to_a_text() {
        let descriptions = Descriptions::load();
        for (name, section) in &descriptions.sections {
            assert!(section.own.is_empty() || descriptions.of_type(name).is_some(), "{name}");
            for line in section.fields.lines() {
                let field = line[1..].split('\t').next().unwrap();
                assert!(descriptions.of_field(name, field).is_some(), "{name} {field}");
            }
        }
    }

    #[test]
    fn every_kind_is_described() {
        let (facts, descriptions) = (Facts::load(), Descriptions::load());
        for kind in &facts.kinds {
            let name = &facts.types.get(kind.type_id).name;
            assert!(descriptions.of_type(name).is_some(), "{name}");
        }
    }
}
