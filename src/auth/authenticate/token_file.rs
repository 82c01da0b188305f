//! `--token-auth-file`: a CSV file of token, user name, user uid and, optionally, groups (apiserver
//! `pkg/authentication/token/tokenfile`).

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::api::request::User;
use crate::auth::Error;

/// Users by their static tokens. Kept by digest, so that a look-up tells nothing about a token by its time.
#[derive(Default)]
pub(super) struct TokenFile {
    users: HashMap<[u8; 32], User>,
}

impl TokenFile {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read or a line has less than three columns.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text =
            fs::read_to_string(path).map_err(|source| Error::File { path: path.into(), action: "read", source })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let mut users = HashMap::new();
        for (number, record) in records(text).into_iter().enumerate() {
            if record.len() < 3 {
                let found = record.len();
                let why = format!("it must have at least 3 columns (token, user name, user uid), found {found}");
                return Err(Error::Unusable { path: path.to_owned(), why });
            }
            if record[0].is_empty() {
                tracing::warn!(path = %path.display(), record = number + 1, "empty token in the token file");
                continue;
            }
            let groups = record.get(3).map(|groups| groups.split(',').map(str::to_owned).collect());
            let user = User {
                name: record[1].clone(),
                uid: record[2].clone(),
                groups: groups.unwrap_or_default(),
                extra: Vec::new(),
            };
            if users.insert(Sha256::digest(&record[0]).into(), user).is_some() {
                tracing::warn!(path = %path.display(), record = number + 1, "duplicate token in the token file");
            }
        }
        Ok(Self { users })
    }

    /// The user of a token, by the token's digest.
    pub(super) fn find(&self, digest: &[u8; 32]) -> Option<&User> {
        self.users.get(digest)
    }
}

/// The records of a CSV text, as Go's `encoding/csv` reads it: empty lines are skipped, a field in quotes may hold
/// commas, line ends and doubled quotes.
fn records(text: &str) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    let mut record = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' if quoted => quoted = false,
            c if quoted => field.push(c),
            '"' if field.is_empty() => quoted = true,
            ',' => record.push(std::mem::take(&mut field)),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' if record.is_empty() && field.is_empty() => {}
            '\n' => {
                record.push(std::mem::take(&mut field));
                out.push(std::mem::take(&mut record));
            }
            c => field.push(c),
        }
    }
    if !record.is_empty() || !field.is_empty() {
        record.push(field);
        out.push(record);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_give_users_with_groups() {
        let text = "t1,ann,1\n\r\nt2,bob,2,\"dev,ops\"\r\n,nobody,3\n";
        let file = TokenFile::parse(text, Path::new("tokens")).unwrap();
        let find = |token: &str| file.find(&Sha256::digest(token).into()).cloned();
        assert_eq!(find("t1").unwrap().groups, Vec::<String>::new());
        let bob = find("t2").unwrap();
        assert_eq!((bob.name.as_str(), bob.uid.as_str()), ("bob", "2"));
        assert_eq!(bob.groups, ["dev", "ops"]);
        assert_eq!(find(""), None);
        assert_eq!(find("t3"), None);
    }

    #[test]
    fn a_short_line_is_refused() {
        let error = TokenFile::parse("t,ann\n", Path::new("tokens")).err().unwrap().to_string();
        assert!(error.contains("at least 3 columns (token, user name, user uid), found 2"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-c,\"\r\n]{0,30}|.{0,30}") {
            let _ = TokenFile::parse(&text, Path::new("tokens"));
        }
    }
}
