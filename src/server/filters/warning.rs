//! `Warning` headers: quoting, and upstream's cut when there is too much to say.

const ITEM_CHARS_MAX: usize = 256;
const TOTAL_CHARS_MAX: usize = 4 * 1024;

/// The values of the headers. When the texts are longer than 4,096 characters together, each is cut to 256 and what is
/// still too much is left out.
pub(super) fn headers(texts: &[String]) -> Vec<String> {
    let usable = || texts.iter().filter(|text| !text.is_empty() && !text.chars().any(char::is_control));
    let total: usize = usable().map(|text| text.chars().count()).sum();
    if total <= TOTAL_CHARS_MAX {
        return usable().map(|text| header(text)).collect();
    }
    let mut written = 0;
    let mut headers = Vec::new();
    for text in usable() {
        if written >= TOTAL_CHARS_MAX {
            break;
        }
        let cut: String = text.chars().take(ITEM_CHARS_MAX).collect();
        written += cut.chars().count();
        headers.push(header(&cut));
    }
    headers
}

pub(super) fn header(text: &str) -> String {
    format!("299 - \"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted() {
        assert_eq!(headers(&[r#"unknown field "a\b""#.to_owned()]), [r#"299 - "unknown field \"a\\b\"""#]);
        assert!(headers(&["line\nbreak".to_owned(), String::new()]).is_empty());
    }

    #[test]
    fn too_many_texts_are_cut_and_then_left_out() {
        let texts: Vec<String> = (0..20).map(|i| format!("{i:02}{}", "x".repeat(1000))).collect();
        let cut = headers(&texts);
        assert_eq!(cut.len(), 16);
        assert!(cut.iter().all(|h| h.len() == ITEM_CHARS_MAX + r#"299 - """#.len()));
    }
}
