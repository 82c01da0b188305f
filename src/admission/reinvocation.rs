//! A change made from outside by a webhook or policy may concern what ran before it: then all plugins run once more,
//! and of webhooks and policies those that asked for it (apiserver `pkg/admission/reinvocation.go`,
//! `plugin/webhook/mutating/reinvocationcontext.go`).

use std::collections::BTreeSet;

use crate::api::Object;

/// What one write knows of its rounds.
#[derive(Debug, Default)]
pub struct Reinvocation {
    wanted: bool,
    second: bool,
    pub webhooks: Passed,
    pub policies: Passed,
}

/// Which of one plugin's webhooks or policies have run, and what they left behind.
#[derive(Debug, Default)]
pub struct Passed {
    left: Option<Object>,
    invoked: BTreeSet<String>,
    again: BTreeSet<String>,
}

impl Reinvocation {
    /// Whether this is the second round.
    pub fn second(&self) -> bool {
        self.second
    }

    /// Asks for a second round.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// Begins the second round if it is wanted and this is the first.
    pub fn begin(&mut self) -> bool {
        let begins = self.wanted && !self.second;
        self.second |= begins;
        begins
    }
}

impl Passed {
    /// In the second round: where others changed the object since, all that asked for it run again.
    pub fn compare(&mut self, object: Option<&Object>) {
        if self.left.as_ref() != object {
            self.require();
        }
    }

    /// What ran before and asked for it runs again.
    pub fn require(&mut self) {
        self.again.append(&mut self.invoked);
    }

    /// Notes one that is to run again when the object changes after it.
    pub fn invoked(&mut self, id: &str) {
        self.invoked.insert(id.to_owned());
    }

    /// Whether one runs in the second round.
    pub fn again(&self, id: &str) -> bool {
        self.again.contains(id)
    }

    /// Notes the object as it is when all have run.
    pub fn leave(&mut self, object: Option<&Object>) {
        self.left = object.cloned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_round_begins_once_and_only_when_it_is_wanted() {
        let mut rounds = Reinvocation::default();
        assert!(!rounds.begin());
        rounds.want();
        assert!(rounds.begin() && rounds.second());
        rounds.want();
        assert!(!rounds.begin());
    }

    #[test]
    fn what_ran_before_a_change_runs_again_and_what_ran_after_it_does_not() {
        let mut passed = Passed::default();
        passed.invoked("a");
        passed.require();
        passed.invoked("b");
        assert!(passed.again("a") && !passed.again("b"));
        passed.leave(None);
        passed.compare(None);
        assert!(!passed.again("b"));
        passed.compare(Some(&Object::default()));
        assert!(passed.again("b"));
    }
}
