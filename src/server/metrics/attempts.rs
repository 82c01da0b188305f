//! What is counted of who asks and whether he may (apiserver `pkg/endpoints/filters/metrics.go`,
//! `pkg/authentication/request/x509`).

use std::time::Duration;

use super::text::Text;
use crate::base::{Histogram, Tally};
use crate::server::Server;

/// Upstream's bounds of both durations, in seconds.
const SECONDS: [f64; 15] =
    [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384];

/// Names of users that upstream tells apart; all others are one, so that users cannot make rows.
const KNOWN: [&str; 5] = ["admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"];

/// The counts of one server.
pub(in crate::server) struct Attempts {
    authenticated: Tally<Authenticated, Histogram>,
    authorized: Tally<Authorized, Histogram>,
    users: Tally<&'static str, u64>,
}

/// How an attempt to tell who somebody is ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::server) enum Authenticated {
    Error,
    Failure,
    Success,
}

/// What the authorizer said.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::server) enum Authorized {
    Allowed,
    Denied,
    /// It could not be found out.
    Error,
    NoOpinion,
}

impl Default for Attempts {
    fn default() -> Self {
        let seconds = || Histogram::new(&SECONDS);
        Self { authenticated: Tally::new(seconds), authorized: Tally::new(seconds), users: Tally::counts() }
    }
}

impl Attempts {
    /// Counts an attempt, and the user that it found.
    pub(in crate::server) fn authenticated(&self, (how, user): (Authenticated, Option<&str>), took: Duration) {
        self.authenticated.observe(how, took.as_secs_f64());
        if let Some(user) = user {
            self.users.count(class(user));
        }
    }

    /// Counts an answer of the authorizer.
    pub(in crate::server) fn authorized(&self, how: Authorized, took: Duration) {
        self.authorized.observe(how, took.as_secs_f64());
    }

    pub(super) fn write(&self, text: &mut Text, server: &Server) {
        let name = "apiserver_client_certificate_expiration_seconds";
        text.metric(name, "histogram", "How long the certificates of requests are good for yet.");
        let left = server.parts().authenticator.certificate_seconds_left();
        if let Some(left) = left.filter(|left| left.count() > 0) {
            text.histogram(name, "", &left);
        }
        let name = "authenticated_user_requests";
        text.metric(name, "counter", "Requests of known users, by classes of names.");
        self.users.rows().iter().for_each(|(user, count)| text.count(name, &format!("username=\"{user}\""), *count));
        let result = |how: &str| format!("result=\"{how}\"");
        let authenticated = self.authenticated.rows();
        let authenticated = authenticated.iter().map(|(how, took)| (result(how.as_str()), took));
        write(text, ("authentication_attempts", "authentication_duration_seconds"), &authenticated.collect::<Vec<_>>());
        let authorized = self.authorized.rows();
        let authorized = authorized.iter().map(|(how, took)| (result(how.as_str()), took));
        write(
            text,
            ("authorization_attempts_total", "authorization_duration_seconds"),
            &authorized.collect::<Vec<_>>(),
        );
    }
}

fn write(text: &mut Text, (counts, durations): (&str, &str), rows: &[(String, &Histogram)]) {
    text.metric(counts, "counter", "Attempts by how they ended.");
    rows.iter().for_each(|(labels, took)| text.count(counts, labels, took.count()));
    text.metric(durations, "histogram", "How long attempts took.");
    rows.iter().for_each(|(labels, took)| text.histogram(durations, labels, took));
}

fn class(user: &str) -> &'static str {
    match KNOWN.iter().find(|known| **known == user) {
        Some(known) => known,
        None if user.contains('@') => "email_id",
        None => "other",
    }
}

impl Authenticated {
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Failure => "failure",
            Self::Success => "success",
        }
    }
}

impl Authorized {
    fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Error => "error",
            Self::NoOpinion => "no-opinion",
        }
    }
}
