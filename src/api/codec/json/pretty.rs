//! JSON for people: on many lines, indented.

/// JSON in one line as Go's `MarshalIndent` with two spaces writes it. For JSON of our own making.
pub fn pretty(compact: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(compact.len() * 2);
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for (index, &b) in compact.iter().enumerate() {
        if in_text {
            in_text = escaped || b != b'"';
            escaped = !escaped && b == b'\\';
            out.push(b);
            continue;
        }
        match b {
            b'"' => in_text = true,
            b'{' | b'[' if !matches!(compact.get(index + 1), Some(b'}' | b']')) => {
                depth += 1;
                out.push(b);
                new_line(&mut out, depth);
                continue;
            }
            b'}' | b']' if !matches!(index.checked_sub(1).and_then(|i| compact.get(i)), Some(b'{' | b'[')) => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
            }
            b',' => {
                out.push(b);
                new_line(&mut out, depth);
                continue;
            }
            b':' => {
                out.extend_from_slice(b": ");
                continue;
            }
            _ => {}
        }
        out.push(b);
    }
    out
}

fn new_line(out: &mut Vec<u8>, depth: usize) {
    out.push(b'\n');
    out.extend(std::iter::repeat_n(b' ', depth * 2));
}
