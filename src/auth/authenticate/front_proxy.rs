//! A proxy in front of the server says in headers for whom it asks, and shows a certificate that lets it (apiserver
//! `pkg/authentication/request/headerrequest`).

use std::path::PathBuf;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Refused;
use super::certificate::Certificates;
use crate::api::request::User;
use crate::auth::{Credentials, Error};

/// `--requestheader-…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrontProxy {
    /// The authorities for certificates of proxies; without them there are none.
    pub client_ca_file: Option<PathBuf>,
    /// The common names that proxies may have; any when empty.
    pub allowed_names: Vec<String>,
    pub username_headers: Vec<String>,
    pub uid_headers: Vec<String>,
    pub group_headers: Vec<String>,
    pub extra_headers_prefix: Vec<String>,
}

impl FrontProxy {
    /// Values that contradict themselves, in upstream's words.
    ///
    /// # Errors
    /// The first of them.
    pub fn check(&self) -> Result<(), String> {
        let lists = [
            (&self.username_headers, "requestheader-username-headers"),
            (&self.group_headers, "requestheader-group-headers"),
            (&self.extra_headers_prefix, "requestheader-extra-headers-prefix"),
            (&self.allowed_names, "requestheader-allowed-names"),
            (&self.uid_headers, "requestheader-uid-headers"),
        ];
        if let Some((_, flag)) = lists.iter().find(|(list, _)| list.iter().any(|text| text.trim().is_empty())) {
            return Err(format!("empty value in {flag:?}"));
        }
        let uid = |header: &String| header.eq_ignore_ascii_case("X-Remote-Uid");
        if !self.uid_headers.is_empty() && !self.uid_headers.iter().any(uid) {
            return Err(
                "--requestheader-uid-headers is set without specifying the standard X-Remote-Uid header - API \
                        aggregation will not work"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// The authorities, in PEM.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn authorities(&self) -> Result<Option<String>, Error> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|source| Error::File { path: path.clone(), action: "read", source })
        };
        self.client_ca_file.as_ref().map(read).transpose()
    }
}

/// Believes proxies.
pub(super) struct Proxies {
    certificates: Certificates,
    settings: FrontProxy,
}

impl Proxies {
    /// `None` where no proxy is believed. Authorities of ordinary clients may not be those of proxies, too.
    pub(super) fn new(settings: FrontProxy, of_clients: &str) -> Result<Option<Self>, Error> {
        let Some(authorities) = settings.authorities()? else { return Ok(None) };
        let certificates = |pem: &str| CertificateDer::pem_slice_iter(pem.as_bytes()).flatten().collect::<Vec<_>>();
        let clients = certificates(of_clients);
        if settings.allowed_names.is_empty() && certificates(&authorities).iter().any(|one| clients.contains(one)) {
            let why = "--requestheader-client-ca-file and --client-ca-file contain overlapping certificates; \
                       --requestheader-allowed-names must be specified to ensure regular client certificates cannot set \
                       authenticating proxy headers for arbitrary users";
            return Err(Error::Setting(why.to_owned()));
        }
        let unusable = |_| Error::Unusable {
            path: settings.client_ca_file.clone().unwrap_or_default(),
            why: "it holds no certificate authority".to_owned(),
        };
        let certificates = Certificates::new(&authorities).map_err(unusable)?;
        Ok(Some(Self { certificates, settings }))
    }

    /// For whom a proxy asks.
    pub(super) fn authenticate(&self, shown: &Credentials, now: Timestamp) -> Result<Option<User>, Refused> {
        let Some(proxy) = self.certificates.authenticate(&shown.certificates, now)? else { return Ok(None) };
        let allowed = &self.settings.allowed_names;
        if !allowed.is_empty() && !allowed.contains(&proxy.name) {
            return Err(Refused(format!("x509: subject with cn={} is not in the allowed list", proxy.name)));
        }
        Ok(self.named(&shown.headers))
    }

    /// The user that headers name; theirs are in lower case.
    fn named(&self, headers: &[(String, String)]) -> Option<User> {
        let given = |names: &[String]| {
            let values = names.iter().flat_map(|name| {
                headers
                    .iter()
                    .filter(move |(header, value)| name.trim().eq_ignore_ascii_case(header) && !value.is_empty())
            });
            values.map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        let name = given(&self.settings.username_headers).into_iter().next()?;
        let uid = given(&self.settings.uid_headers).into_iter().next().unwrap_or_default();
        let mut extra: Vec<(String, Vec<String>)> = Vec::new();
        for prefix in &self.settings.extra_headers_prefix {
            let prefix = prefix.trim().to_ascii_lowercase();
            let matching = headers.iter().filter_map(|(header, value)| Some((header.strip_prefix(&*prefix)?, value)));
            for (key, value) in matching {
                let key = unescape(key);
                match extra.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, values)) => values.push(value.clone()),
                    None => extra.push((key, vec![value.clone()])),
                }
            }
        }
        extra.sort();
        Some(User { name, uid, groups: given(&self.settings.group_headers), extra })
    }
}

/// A key whose unusual bytes are written as `%xx`; one that is written wrongly stays as it is.
fn unescape(key: &str) -> String {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else { return key.to_owned() };
        bytes.push(byte);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).unwrap_or_else(|_| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Pki, PkiConfig};

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    fn settings() -> FrontProxy {
        FrontProxy {
            username_headers: texts(&["X-Remote-User", "X-User"]),
            uid_headers: texts(&["X-Remote-Uid"]),
            group_headers: texts(&["X-Remote-Group"]),
            extra_headers_prefix: texts(&["X-Remote-Extra-"]),
            ..FrontProxy::default()
        }
    }

    fn shown(pki: &Pki, headers: &[(&str, &str)]) -> Credentials {
        let pem = &pki.front_proxy_client().certificate;
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).map(|der| der.unwrap().to_vec()).collect();
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Credentials { certificates, headers, ..Credentials::default() }
    }

    #[test]
    fn a_proxy_with_a_certificate_asks_for_those_that_it_names() {
        let now = "2026-05-05T05:05:05Z".parse().unwrap();
        let pki = Pki::open(PkiConfig::default(), now).unwrap();
        let certificates = || Certificates::new(pki.front_proxy_authority()).unwrap();
        let proxies = Proxies { certificates: certificates(), settings: settings() };
        let asked = shown(
            &pki,
            &[
                ("x-user", "second"),
                ("x-remote-user", "bob"),
                ("x-remote-group", "a"),
                ("x-remote-group", "b"),
                ("x-remote-extra-acme.com%2fproject", "p"),
                ("x-remote-extra-bad%2", "q"),
                ("x-remote-uid", "u"),
            ],
        );
        let user = proxies.authenticate(&asked, now).unwrap().unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("bob", "u"));
        assert_eq!(user.groups, ["a", "b"]);
        let extra = [("acme.com/project".to_owned(), texts(&["p"])), ("bad%2".to_owned(), texts(&["q"]))];
        assert_eq!(user.extra, extra);
        assert_eq!(proxies.authenticate(&shown(&pki, &[]), now).unwrap(), None);
        assert_eq!(proxies.authenticate(&Credentials::default(), now).unwrap(), None);

        let named = FrontProxy { allowed_names: texts(&["other"]), ..settings() };
        let proxies = Proxies { certificates: certificates(), settings: named };
        let refused = proxies.authenticate(&asked, now).unwrap_err().to_string();
        assert_eq!(refused, "x509: subject with cn=front-proxy-client is not in the allowed list");
        let stranger =
            Proxies { certificates: Certificates::new(pki.client_authorities()).unwrap(), settings: settings() };
        assert!(stranger.authenticate(&asked, now).is_err());
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_in_upstreams_words() {
        assert_eq!(settings().check(), Ok(()));
        let empty = FrontProxy { group_headers: texts(&[" "]), ..settings() };
        assert_eq!(empty.check(), Err(r#"empty value in "requestheader-group-headers""#.to_owned()));
        let uid = FrontProxy { uid_headers: texts(&["X-Uid"]), ..settings() };
        assert!(uid.check().unwrap_err().ends_with("API aggregation will not work"));
    }
}
