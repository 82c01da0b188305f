//! Pages on their way through a proxy: links that lead back to the page's own host get the path of the proxy before
//! theirs (apimachinery `pkg/util/proxy/transport.go`). Tags are taken apart as they come and never held longer than
//! `TAG_BYTES_MAX`.

use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::{DeflateDecoder, DeflateEncoder, GzDecoder, GzEncoder};

use super::relay::Led;

/// A longer tag is passed on as it is.
const TAG_BYTES_MAX: usize = 64 << 10;
/// What is unpacked at once, so that little becomes never more than a thousand times as much.
const PACKED_BYTES: usize = 4 << 10;

/// The attributes that hold addresses, by their tags.
const LINKS: [(&str, &[&str]); 25] = [
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Tags whose content is text until their end.
const TEXTS: [&str; 8] = ["iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp"];

impl Led {
    /// A link as it leads through the proxy.
    pub(super) fn through(&self, link: &str) -> String {
        let (before, fragment) = link.split_at(link.find('#').unwrap_or(link.len()));
        let (address, query) = before.split_at(before.find('?').unwrap_or(before.len()));
        let (scheme, rest) = match address.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
            _ => (None, address),
        };
        let (host, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", rest),
        };
        let elsewhere = !host.is_empty() && host != self.backend && host != self.host;
        if elsewhere || !path.starts_with('/') {
            return link.to_owned();
        }
        let kept = !host.is_empty() && host == self.host;
        let origin = match scheme.filter(|_| kept) {
            Some(scheme) => format!("{scheme}://{host}"),
            None if kept => format!("//{host}"),
            None => String::new(),
        };
        if path.starts_with(&self.prefix) {
            return format!("{origin}{path}{query}{fragment}");
        }
        let joined = format!("{}/{path}", self.prefix);
        let parts: Vec<&str> = joined.split('/').filter(|part| !part.is_empty()).collect();
        let slash = if path.ends_with('/') { "/" } else { "" };
        format!("{origin}/{}{slash}{query}{fragment}", parts.join("/"))
    }
}

fn is_scheme(text: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.bytes().next().is_some_and(|first| first.is_ascii_alphabetic()) && text.bytes().all(rest)
}

/// A page that is rewritten as it comes.
pub(super) struct Rewriting {
    packing: Packing,
    page: Page,
}

/// What unpacks, and what packs again.
type Gzip = (GzDecoder<Vec<u8>>, GzEncoder<Vec<u8>>);
type Deflate = (DeflateDecoder<Vec<u8>>, DeflateEncoder<Vec<u8>>);

enum Packing {
    None,
    Gzip(Box<Gzip>),
    Deflate(Box<Deflate>),
}

impl Rewriting {
    /// Of a page with a `Content-Encoding`; `None` for one that is passed on as it is.
    pub(super) fn of(encoding: &str) -> Option<Self> {
        let packing = match encoding {
            "" => Packing::None,
            "gzip" => Packing::Gzip(Box::new((
                GzDecoder::new(Vec::new()),
                GzEncoder::new(Vec::new(), Compression::default()),
            ))),
            "deflate" => Packing::Deflate(Box::new((
                DeflateDecoder::new(Vec::new()),
                DeflateEncoder::new(Vec::new(), Compression::best()),
            ))),
            _ => return None,
        };
        Some(Self { packing, page: Page::default() })
    }

    /// What can be passed on after one more piece.
    ///
    /// # Errors
    /// When it cannot be unpacked.
    pub(super) fn push(&mut self, piece: &[u8], lead: &dyn Fn(&str) -> String) -> io::Result<Vec<u8>> {
        let page = &mut self.page;
        match &mut self.packing {
            Packing::None => Ok(page.push(piece, lead)),
            Packing::Gzip(both) => {
                let (from, to) = &mut **both;
                for part in piece.chunks(PACKED_BYTES) {
                    from.write_all(part)?;
                    to.write_all(&page.push(&std::mem::take(from.get_mut()), lead))?;
                }
                Ok(std::mem::take(to.get_mut()))
            }
            Packing::Deflate(both) => {
                let (from, to) = &mut **both;
                for part in piece.chunks(PACKED_BYTES) {
                    from.write_all(part)?;
                    to.write_all(&page.push(&std::mem::take(from.get_mut()), lead))?;
                }
                Ok(std::mem::take(to.get_mut()))
            }
        }
    }

    /// The rest.
    ///
    /// # Errors
    /// When it cannot be unpacked.
    pub(super) fn end(self, lead: &dyn Fn(&str) -> String) -> io::Result<Vec<u8>> {
        let mut page = self.page;
        match self.packing {
            Packing::None => Ok(page.end()),
            Packing::Gzip(both) => {
                let (from, mut to) = *both;
                let rest = page.push(&from.finish()?, lead);
                to.write_all(&rest)?;
                to.write_all(&page.end())?;
                to.finish()
            }
            Packing::Deflate(both) => {
                let (from, mut to) = *both;
                let rest = page.push(&from.finish()?, lead);
                to.write_all(&rest)?;
                to.write_all(&page.end())?;
                to.finish()
            }
        }
    }
}

/// A page as far as it has come.
#[derive(Default)]
struct Page {
    /// From the last `<` on that is not whole.
    held: Vec<u8>,
    /// The tag whose content is text.
    text_of: Option<String>,
}

impl Page {
    fn push(&mut self, piece: &[u8], lead: &dyn Fn(&str) -> String) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(piece);
        let mut out = Vec::with_capacity(all.len());
        let mut rest = &all[..];
        while let Some(at) = rest.iter().position(|byte| *byte == b'<') {
            out.extend_from_slice(&rest[..at]);
            rest = &rest[at..];
            let Some(length) = self.length(rest) else {
                if rest.len() <= TAG_BYTES_MAX {
                    rest.clone_into(&mut self.held);
                    return out;
                }
                out.push(b'<');
                rest = &rest[1..];
                continue;
            };
            let (tag, after) = rest.split_at(length);
            self.pass(tag, lead, &mut out);
            rest = after;
        }
        out.extend_from_slice(rest);
        out
    }

    fn end(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// How long what begins with `<` is; `None` while it is not whole.
    fn length(&self, text: &[u8]) -> Option<usize> {
        if let Some(name) = &self.text_of {
            let wanted = format!("</{name}");
            let head = &text[..text.len().min(wanted.len())];
            if !wanted.as_bytes()[..head.len()].eq_ignore_ascii_case(head) {
                return Some(1);
            }
            return (head.len() == wanted.len()).then_some(head.len());
        }
        let ends = |end: &[u8], from: usize| {
            let found = text.get(from..)?.windows(end.len()).position(|window| window == end)?;
            Some(from + found + end.len())
        };
        match text.get(1)? {
            b'!' if b"<!--".starts_with(&text[..text.len().min(4)]) => {
                if text.len() < 4 {
                    None
                } else {
                    ends(b"-->", 4)
                }
            }
            b'!' | b'/' | b'?' => ends(b">", 2),
            first if first.is_ascii_alphabetic() => tag_length(text),
            _ => Some(1),
        }
    }

    fn pass(&mut self, tag: &[u8], lead: &dyn Fn(&str) -> String, out: &mut Vec<u8>) {
        if self.text_of.is_some() {
            if tag.len() > 1 {
                self.text_of = None;
            }
            out.extend_from_slice(tag);
            return;
        }
        let parsed = (tag.len() > 1 && tag[1].is_ascii_alphabetic()).then(|| std::str::from_utf8(tag).ok()).flatten();
        let Some(parsed) = parsed else { return out.extend_from_slice(tag) };
        let name_end = parsed[1..].find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>'));
        let name = parsed[1..].get(..name_end.unwrap_or(parsed.len() - 1)).unwrap_or_default().to_ascii_lowercase();
        let links = LINKS.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, links)| links);
        out.extend_from_slice(written(parsed, (&name, links), lead).as_bytes());
        self.text_of = TEXTS.contains(&name.as_str()).then_some(name);
    }
}

/// How long a tag is, whose attributes may hold `>` in quotes.
fn tag_length(text: &[u8]) -> Option<usize> {
    let mut quote = None;
    let mut after_equals = false;
    for (at, byte) in text.iter().enumerate().skip(1) {
        match (quote, byte) {
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') if after_equals => quote = Some(byte),
            (None, b'>') => return Some(at + 1),
            (None, _) => {}
        }
        after_equals = *byte == b'=' || (after_equals && byte.is_ascii_whitespace());
    }
    None
}

/// A tag with its links led elsewhere, written as upstream's library writes all tags.
fn written(tag: &str, (name, links): (&str, &[&str]), lead: &dyn Fn(&str) -> String) -> String {
    let mut out = format!("<{name}");
    let end = tag.len() - 1;
    let mut rest = &tag[name.len() + 1..end];
    let closes_itself = rest.ends_with('/');
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() {
            break;
        }
        // A name may begin with an equals sign.
        let after_first = rest.chars().next().map_or(0, char::len_utf8);
        let key_end = rest[after_first..].find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '/'));
        let (key, spaced) = rest.split_at(key_end.map_or(rest.len(), |end| after_first + end));
        let key = key.to_ascii_lowercase();
        let value = spaced.trim_start().strip_prefix('=').map(str::trim_start);
        let (value, after) = value.map_or(("", spaced), |value| match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
            _ => value.split_at(value.find(|c: char| c.is_ascii_whitespace()).unwrap_or(value.len())),
        });
        let value = if links.contains(&key.as_str()) { escaped(&lead(&unescaped(value))) } else { requoted(value) };
        out.push_str(&format!(" {key}=\"{value}\""));
        rest = after;
    }
    out.push_str(if closes_itself { "/>" } else { ">" });
    out
}

/// The entities that stand in addresses; others are left to whoever reads the page.
const ENTITIES: [(&str, &str); 6] =
    [("&lt;", "<"), ("&gt;", ">"), ("&#34;", "\""), ("&quot;", "\""), ("&#39;", "'"), ("&apos;", "'")];

fn unescaped(text: &str) -> String {
    let text = ENTITIES.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain));
    text.replace("&amp;", "&")
}

/// A value in quotes with the entities that it has.
fn requoted(text: &str) -> String {
    let text = ENTITIES.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain));
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('&') {
        out.push_str(&escaped(&rest[..at]));
        rest = &rest[at + 1..];
        let name = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '#').unwrap_or(rest.len());
        out.push_str(if name > 0 && rest[name..].starts_with(';') { "&" } else { "&amp;" });
    }
    out + &escaped(rest)
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\r' => out.push_str("&#13;"),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn led() -> Led {
        Led { prefix: "/proxy".to_owned(), backend: "10.0.0.1:80".to_owned(), host: "localhost:8001".to_owned() }
    }

    /// Passes a page in pieces of every size.
    #[track_caller]
    fn check(page: &str, expected: &str) {
        for size in 1..=page.len() {
            let (led, mut out) = (led(), Vec::new());
            let lead = |link: &str| led.through(link);
            let mut rewriting = Rewriting::of("").unwrap();
            for piece in page.as_bytes().chunks(size) {
                out.extend(rewriting.push(piece, &lead).unwrap());
            }
            out.extend(rewriting.end(&lead).unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn links_to_the_own_host_lead_through_the_proxy() {
        for (link, through) in [
            ("/a", "/proxy/a"),
            ("/a/?q=1#f", "/proxy/a/?q=1#f"),
            ("a/b", "a/b"),
            ("http://10.0.0.1:80/x", "/proxy/x"),
            ("http://localhost:8001/x", "http://localhost:8001/proxy/x"),
            ("https://example.com/x", "https://example.com/x"),
            ("//example.com/x", "//example.com/x"),
            ("/proxy/there", "/proxy/there"),
            ("mailto:a@b", "mailto:a@b"),
            ("", ""),
        ] {
            assert_eq!(led().through(link), through, "{link}");
        }
    }

    #[test]
    fn tags_are_written_anew_and_texts_stay() {
        check(
            r#"<P class='/x' b>1 < 2<a HREF='/a?b&amp;c' id=/y>/t</a>"#,
            r#"<p class="/x" b="">1 < 2<a href="/proxy/a?b&amp;c" id="/y">/t</a>"#,
        );
        check(r#"<img src=/i.png alt="a>b&copy;&"/>"#, r#"<img src="/proxy/i.png" alt="a&gt;b&copy;&amp;"/>"#);
        check("<!-- <a href='/a'> --><br>", "<!-- <a href='/a'> --><br>");
        check(
            "<script src='/s.js'>if (a<b) '<a href=\"/a\">'</script><a href=/z>",
            "<script src=\"/proxy/s.js\">if (a<b) '<a href=\"/a\">'</script><a href=\"/proxy/z\">",
        );
        check("<a href=\"/unfinished", "<a href=\"/unfinished");
        check("<a href>é</a =>", "<a href=\"\">é</a =>");
    }

    #[test]
    fn a_packed_page_is_packed_again() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(b"<a href='/a'>").unwrap();
        let packed = packed.finish().unwrap();
        let (led, mut out) = (led(), Vec::new());
        let lead = |link: &str| led.through(link);
        let mut rewriting = Rewriting::of("gzip").unwrap();
        for piece in packed.chunks(5) {
            out.extend(rewriting.push(piece, &lead).unwrap());
        }
        out.extend(rewriting.end(&lead).unwrap());
        let mut page = String::new();
        flate2::read::GzDecoder::new(&out[..]).read_to_string(&mut page).unwrap();
        assert_eq!(page, "<a href=\"/proxy/a\">");
        assert!(Rewriting::of("br").is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_page_is_passed_in_bounded_steps(page in "[<>a/='\" !-]{0,60}|.{0,40}") {
            let lead = |link: &str| link.to_owned();
            let mut rewriting = Rewriting::of("").unwrap();
            let out = rewriting.push(page.as_bytes(), &lead).unwrap().len();
            let rest = rewriting.end(&lead).unwrap().len();
            proptest::prop_assert!(out + rest <= page.len() * 8);
        }
    }
}
