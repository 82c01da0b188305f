//! Bodies that nest deeply, made fit for recordings.

/// Brackets that are open before the rest is folded.
const DEPTH_MAX: usize = 40;

/// A JSON text in which what nests deeply is the text `<so many levels>`; other texts as they are.
pub(super) fn folded(text: &str) -> String {
    let mut out = String::new();
    let (mut open, mut deepest, mut in_text, mut escaped) = (0usize, 0, false, false);
    for c in text.chars() {
        let bracket = !in_text && matches!(c, '[' | ']' | '{' | '}');
        let before = open;
        if in_text {
            in_text = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else {
            in_text = c == '"';
            match c {
                '[' | '{' => open += 1,
                ']' | '}' => open = open.saturating_sub(1),
                _ => {}
            }
        }
        deepest = deepest.max(open);
        if before.max(open) <= DEPTH_MAX {
            out.push(c);
        } else if bracket && open == DEPTH_MAX && before > open {
            out.push_str(&format!("\"<{} levels>\"", deepest - DEPTH_MAX));
            deepest = open;
        }
    }
    out
}

#[test]
fn what_nests_deeply_is_counted() {
    assert_eq!(folded(r#"{"a":["}"]}"#), r#"{"a":["}"]}"#);
    let deep = |levels: usize| format!("[1,{}2{},3]", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(folded(&deep(39)), deep(39));
    let folded = folded(&deep(9000));
    assert!(folded.ends_with(&format!("\"<8961 levels>\"{},3]", "]".repeat(39))), "{folded}");
    serde_json::from_str::<serde_json::Value>(&folded).unwrap();
}
