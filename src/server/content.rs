//! A whole document under conditions and in parts, as Go's `http.ServeContent` gives it. Used for the documents of
//! OpenAPI. Of several ranges at once the whole is given, which every client must understand.

use bytes::Bytes;
use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use super::message::{Headers, Request, Response};

/// A document and what is told about it.
pub(super) struct Content {
    pub content_type: &'static str,
    pub body: Bytes,
    /// In quotes; empty: there is none.
    pub etag: String,
    pub modified: Timestamp,
}

/// What the conditions of a request come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Whole,
    NotModified,
    Failed,
}

/// What a `Range` asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Wanted {
    Whole,
    Part(std::ops::Range<usize>),
    Malformed,
    Outside,
}

const RANGE_UNIT: &str = "bytes=";
const HTTP_DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// The answer with a document, or with what the request is content with.
pub(super) fn serve(request: &Request, content: Content) -> Response {
    let Content { content_type, body, etag, modified } = content;
    let length = body.len();
    let tagged = |mut response: Response| {
        if !etag.is_empty() {
            response.headers.add("etag", etag.as_str());
        }
        response
    };
    let bare = |status| Response { status, headers: Headers::default(), body: super::Body::Full(Bytes::new()) };
    let date = modified.to_zoned(TimeZone::UTC).strftime(HTTP_DATE).to_string();
    match verdict(&request.headers, &etag, modified) {
        Verdict::NotModified if etag.is_empty() => return bare(304).with_header("last-modified", date),
        Verdict::NotModified => return tagged(bare(304)),
        // The type of what has no tag is found out later.
        Verdict::Failed if etag.is_empty() => return bare(412).with_header("last-modified", date),
        Verdict::Failed => return tagged(Response::full(412, content_type, "").with_header("last-modified", date)),
        Verdict::Whole => {}
    }
    let told =
        |response: Response| tagged(response.with_header("accept-ranges", "bytes").with_header("last-modified", date));
    match wanted(request.headers.text("range"), length) {
        Wanted::Whole => told(Response::full(200, content_type, body)),
        Wanted::Part(part) => {
            let range = format!("bytes {}-{}/{length}", part.start, part.end - 1);
            told(Response::full(206, content_type, body.slice(part))).with_header("content-range", range)
        }
        Wanted::Malformed => Response::text(416, "invalid range\n"),
        Wanted::Outside => {
            let response = Response::text(416, "invalid range: failed to overlap\n");
            response.with_header("content-range", format!("bytes */{length}"))
        }
    }
}

fn verdict(headers: &Headers, etag: &str, modified: Timestamp) -> Verdict {
    let named = |list: &str, weakly: bool| {
        list.split(',').map(str::trim).any(|one| {
            let one = if weakly { one.trim_start_matches("W/") } else { one };
            one == "*" || (!etag.is_empty() && one == etag)
        })
    };
    if headers.get("if-match").is_some_and(|list| !named(list, false)) {
        return Verdict::Failed;
    }
    match (headers.get("if-none-match"), headers.get("if-modified-since")) {
        (Some(list), _) if named(list, true) => Verdict::NotModified,
        (None, Some(since)) if date(since).is_some_and(|since| modified.as_second() <= since.as_second()) => {
            Verdict::NotModified
        }
        (Some(_) | None, _) => Verdict::Whole,
    }
}

fn date(text: &str) -> Option<Timestamp> {
    let parsed = strtime::parse(HTTP_DATE, text).ok()?.to_datetime().ok()?;
    Some(parsed.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The part of a document of some length.
fn wanted(range: &str, length: usize) -> Wanted {
    if range.is_empty() {
        return Wanted::Whole;
    }
    let Some(list) = range.strip_prefix(RANGE_UNIT) else { return Wanted::Malformed };
    let mut one = list.split(',').map(str::trim).filter(|part| !part.is_empty());
    let (Some(part), None) = (one.next(), one.next()) else { return Wanted::Whole };
    let Some((from, to)) = part.split_once('-') else { return Wanted::Malformed };
    let number = |text: &str| text.trim().parse::<usize>().ok();
    match (from.trim(), to.trim()) {
        ("", last) => match number(last) {
            Some(last) => Wanted::Part(length.saturating_sub(last)..length),
            None => Wanted::Malformed,
        },
        (from, to) => match (number(from), to) {
            (None, _) => Wanted::Malformed,
            (Some(from), _) if from >= length => Wanted::Outside,
            (Some(from), "") => Wanted::Part(from..length),
            (Some(from), to) => match number(to) {
                Some(to) if to >= from => Wanted::Part(from..length.min(to.saturating_add(1))),
                Some(_) | None => Wanted::Malformed,
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_the_document() {
        let cases = [
            ("", Wanted::Whole),
            ("bytes=0-3", Wanted::Part(0..4)),
            ("bytes=4-", Wanted::Part(4..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-30", Wanted::Part(0..10)),
            ("bytes=8-99", Wanted::Part(8..10)),
            ("bytes=0-1,4-5", Wanted::Whole),
            ("bytes=10-", Wanted::Outside),
            ("bytes=3-2", Wanted::Malformed),
            ("bytes=x-", Wanted::Malformed),
            ("bytes=3", Wanted::Malformed),
            ("lines=1-2", Wanted::Malformed),
        ];
        for (range, expected) in cases {
            assert_eq!(wanted(range, 10), expected, "{range}");
        }
    }

    #[test]
    fn a_document_that_is_known_is_not_sent() {
        let modified: Timestamp = "2026-01-02T03:04:05.6Z".parse().unwrap();
        let verdict = |name: &'static str, value: &str| {
            let mut headers = Headers::default();
            headers.add(name, value);
            verdict(&headers, "\"a\"", modified)
        };
        for list in ["\"a\"", "*", "\"x\", W/\"a\""] {
            assert_eq!(verdict("if-none-match", list), Verdict::NotModified, "{list}");
        }
        assert_eq!(verdict("if-none-match", "\"x\""), Verdict::Whole);
        assert_eq!(verdict("if-match", "\"x\""), Verdict::Failed);
        assert_eq!(verdict("if-match", "\"x\", \"a\""), Verdict::Whole);
        assert_eq!(verdict("if-modified-since", "Fri, 02 Jan 2026 03:04:05 GMT"), Verdict::NotModified);
        assert_eq!(verdict("if-modified-since", "Fri, 02 Jan 2026 03:04:04 GMT"), Verdict::Whole);
        assert_eq!(verdict("if-modified-since", "yesterday"), Verdict::Whole);
    }
}
