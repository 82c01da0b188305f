//! The certificates of a trust bundle, in upstream's order and words.

use x509_parser::pem::Pem;

use crate::api::field::{Errors, FieldError, Path};

const BUNDLE_BYTES_MAX: usize = 1 << 20;
const OMITTED: &str = "<value omitted>";

/// Certificates of authorities, each once.
pub(super) fn validate(errors: &mut Errors, bundle: &str, path: &Path<'_>) {
    if bundle.len() > BUNDLE_BYTES_MAX {
        return errors.push(FieldError::too_long(path, BUNDLE_BYTES_MAX));
    }
    let blocks: Vec<Pem> = Pem::iter_from_buffer(bundle.as_bytes()).map_while(Result::ok).collect();
    let before = errors.len();
    for (i, block) in blocks.iter().enumerate() {
        errors.extend(fault(block).map(|fault| FieldError::invalid(path, OMITTED, format!("entry {i} {fault}"))));
    }
    if errors.len() > before {
        return;
    }
    if blocks.is_empty() {
        errors.push(FieldError::invalid(path, OMITTED, "at least one trust anchor must be provided"));
    }
    for (i, block) in blocks.iter().enumerate() {
        let same = |of: &&Pem| of.contents == block.contents;
        if blocks[..i].iter().any(|of| same(&of)) {
            continue;
        }
        let places: Vec<String> =
            blocks.iter().enumerate().filter(|(_, of)| same(of)).map(|(at, _)| at.to_string()).collect();
        if places.len() > 1 {
            let detail = format!("duplicate trust anchor (indices [{}])", places.join(" "));
            errors.push(FieldError::invalid(path, OMITTED, detail));
        }
    }
}

fn fault(block: &Pem) -> Option<String> {
    if block.label != "CERTIFICATE" {
        return Some(format!("has bad block type: {}", block.label));
    }
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(&block.contents) else {
        return Some("does not parse as X.509".to_owned());
    };
    let constraints = certificate.basic_constraints().ok().flatten();
    (!constraints.is_some_and(|of| of.value.ca)).then(|| "does not have the CA bit set".to_owned())
}
