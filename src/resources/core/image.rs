//! Image references, read as far as the default of `imagePullPolicy` needs it.

/// The pull policy of an image for which none is given: `Always` when its tag is or defaults to `latest`. A reference
/// that is not valid counts as one with another tag.
pub(super) fn default_pull_policy(reference: &str) -> &'static str {
    if tag(reference).as_deref() == Some("latest") { "Always" } else { "IfNotPresent" }
}

/// The tag; `None` when there is a digest alone or the reference is not valid.
fn tag(reference: &str) -> Option<String> {
    let (rest, digest) = match reference.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (reference, None),
    };
    if digest.is_some_and(|d| !valid_digest(d)) || (digest.is_none() && is_identifier(rest)) {
        return None;
    }
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        Some(_) | None => (rest, None),
    };
    if !valid_name(name) {
        return None;
    }
    match (tag, digest) {
        (Some(tag), _) => valid_tag(tag).then(|| tag.to_owned()),
        (None, Some(_)) => None,
        (None, None) => Some("latest".to_owned()),
    }
}

fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn valid_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().enumerate().all(|(i, b)| word(b) || (i > 0 && (b == b'.' || b == b'-')))
}

fn valid_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn valid_name(name: &str) -> bool {
    let path = match name.split_once('/') {
        Some((domain, path)) if is_domain(domain) => {
            if !valid_domain(domain) {
                return false;
            }
            path
        }
        Some(_) | None => name,
    };
    name.len() <= 255 && path.split('/').all(valid_component)
}

/// The part before the first slash names a registry when it could not be part of a path.
fn is_domain(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn valid_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !port.contains(']') => (host, Some(port)),
        Some(_) | None => (domain, None),
    };
    let host_ok = if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        inner.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
    } else {
        host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
    };
    host_ok && port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
}

/// Lower-case letters and digits with `.`, `_`, `__` or dashes between.
fn valid_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase();
    let bytes = component.as_bytes();
    let ends = bytes.first().zip(bytes.last()).is_some_and(|(a, b)| alphanumeric(*a) && alphanumeric(*b));
    let separators = component.split(|c: char| c.is_ascii_digit() || c.is_ascii_lowercase());
    ends && separators
        .filter(|s| !s.is_empty())
        .all(|s| s == "." || s == "_" || s == "__" || s.bytes().all(|b| b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_policy(reference: &str, expected: &str) {
        assert_eq!(default_pull_policy(reference), expected, "{reference}");
    }

    #[test]
    fn latest_and_untagged_images_are_always_pulled() {
        for reference in [
            "nginx",
            "nginx:latest",
            "a.b/c/d",
            "localhost:5000/x",
            "x:latest@sha256:0000000000000000000000000000000000000000000000000000000000000000",
        ] {
            check_policy(reference, "Always");
        }
    }

    #[test]
    fn other_tags_digests_and_invalid_references_are_pulled_once() {
        for reference in [
            "nginx:1.27",
            "localhost:5000/x:v1",
            "",
            "Nginx",
            "a//b",
            "x:",
            "nginx@sha256:0000000000000000000000000000000000000000000000000000000000000000",
        ] {
            check_policy(reference, "IfNotPresent");
        }
    }
}
