//! How the parser meets, reports and leaves errors: the strategy of ANTLR's generated parsers, whose messages users
//! of upstream see. The grammar itself is in `parser`.

use super::lexer::{Lexeme, NAMES, Token};
use super::source::Reporter;

/// A set of tokens.
pub(super) type Set = u64;

pub(super) const fn set(tokens: &[Token]) -> Set {
    let (mut out, mut at) = (0, 0);
    while at < tokens.len() {
        out |= 1 << tokens[at] as u8;
        at += 1;
    }
    out
}

pub(super) fn has(set: Set, token: Token) -> bool {
    set & (1 << token as u8) != 0
}

fn shown(expected: Set) -> String {
    let names: Vec<&str> = NAMES.iter().filter(|(token, _)| has(expected, *token)).map(|(_, name)| *name).collect();
    if let [name] = names[..] { name.to_owned() } else { format!("{{{}}}", names.join(", ")) }
}

/// What can follow a rule where it was called.
#[derive(Clone, Copy)]
pub(super) struct Follow {
    pub(super) tokens: Set,
    /// Whether the calling rule can end there too.
    pub(super) ends: bool,
}

/// The rules whose depth counts.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    Expr,
    Relation,
    Calc,
    Member,
}

/// Leaves the rule that is being parsed; the error is reported already.
pub(super) struct Failed;

/// No more parsing at all.
pub(super) struct Aborted;

/// How often the parser tries to go on after an error.
const RECOVERIES_MAX: usize = 30;
/// How many tokens it skips for it.
const SKIPPED_MAX: usize = 256;
/// How deep each rule may nest.
const DEPTH_MAX: usize = 250;

/// The tokens, the place among them and the state of the recovery.
pub(super) struct Stream<'s, 'r> {
    pub(super) text: &'s str,
    pub(super) issues: &'r mut Reporter<'s>,
    tokens: Vec<Lexeme>,
    at: usize,
    recovering: bool,
    recoveries: usize,
    /// Where the last error was and the sites of errors there, so that no error repeats forever.
    last_error: (usize, Vec<u32>),
    pub(super) follows: Vec<Follow>,
    depths: [usize; 4],
    pub(super) aborted: bool,
}

impl<'s, 'r> Stream<'s, 'r> {
    pub(super) fn new(text: &'s str, tokens: Vec<Lexeme>, issues: &'r mut Reporter<'s>) -> Self {
        Self {
            text,
            issues,
            tokens,
            at: 0,
            recovering: false,
            recoveries: 0,
            last_error: (usize::MAX, Vec::new()),
            follows: Vec::new(),
            depths: [0; 4],
            aborted: false,
        }
    }

    /// The token that many places ahead.
    pub(super) fn peek(&self, ahead: usize) -> Token {
        self.lexeme(ahead).token
    }

    pub(super) fn lexeme(&self, ahead: usize) -> Lexeme {
        self.tokens[(self.at + ahead).min(self.tokens.len() - 1)]
    }

    pub(super) fn slice(&self, lexeme: Lexeme) -> &'s str {
        &self.text[lexeme.start as usize..lexeme.end as usize]
    }

    fn consume(&mut self) {
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
    }

    fn here(&self) -> String {
        let lexeme = self.lexeme(0);
        if lexeme.token == Token::End {
            return "'<EOF>'".to_owned();
        }
        format!("'{}'", escaped(self.slice(lexeme)))
    }

    fn complain(&mut self, message: &str) {
        if !self.recovering {
            self.recovering = true;
            let place = self.lexeme(0).start;
            self.aborted |= self.issues.syntax(place, message).is_err();
        }
    }

    fn count_recovery(&mut self) -> Result<(), Failed> {
        self.recoveries += 1;
        if self.recoveries <= RECOVERIES_MAX {
            return Ok(());
        }
        let message = format!("error recovery attempt limit exceeded: {RECOVERIES_MAX}");
        let place = self.lexeme(0).start;
        self.issues.syntax(place, &message).ok();
        self.aborted = true;
        Err(Failed)
    }

    /// Takes a token that must stand here; a superfluous one before it is dropped, a missing one is thought up.
    pub(super) fn expect(&mut self, token: Token, after: Follow) -> Result<Lexeme, Failed> {
        let lexeme = self.lexeme(0);
        if lexeme.token == token {
            self.recovering = false;
            self.consume();
            return Ok(lexeme);
        }
        self.count_recovery()?;
        if self.delete_one(set(&[token])) {
            let lexeme = self.lexeme(0);
            self.recovering = false;
            self.consume();
            return Ok(lexeme);
        }
        if has(self.following(after), lexeme.token) {
            let name = shown(set(&[token]));
            self.complain(&format!("missing {name} at {}", self.here()));
            return Ok(Lexeme { token, start: lexeme.start, end: lexeme.start });
        }
        self.mismatch(set(&[token]))
    }

    pub(super) fn mismatch<T>(&mut self, expected: Set) -> Result<T, Failed> {
        self.complain(&format!("mismatched input {} expecting {}", self.here(), shown(expected)));
        Err(Failed)
    }

    /// Fails because no alternative begins with the tokens up to that many places ahead.
    pub(super) fn no_alternative<T>(&mut self, ahead: usize) -> Result<T, Failed> {
        let (start, end) = (self.lexeme(0), self.lexeme(ahead));
        let shown = if start.token == Token::End {
            "<EOF>".to_owned()
        } else {
            let last = if end.token == Token::End { self.lexeme(ahead.saturating_sub(1)).end } else { end.end };
            escaped(&self.text[start.start as usize..last as usize])
        };
        let message = match &shown[shown.len().min(1)..] {
            word @ ("true" | "false" | "null") => format!("mismatched input '{word}' expecting IDENTIFIER"),
            _ => format!("no viable alternative at input '{shown}'"),
        };
        if !self.recovering {
            self.recovering = true;
            self.aborted |= self.issues.syntax(end.start, &message).is_err();
        }
        Err(Failed)
    }

    /// Says that a token is too much in a loop and skips to where something can go on.
    pub(super) fn unwanted<T>(&mut self, expected: Set) -> Result<T, Failed> {
        self.complain(&format!("extraneous input {} expecting {}", self.here(), shown(expected)));
        Err(Failed)
    }

    fn delete_one(&mut self, expected: Set) -> bool {
        if !has(expected, self.peek(1)) || self.peek(0) == Token::End {
            return false;
        }
        self.complain(&format!("extraneous input {} expecting {}", self.here(), shown(expected)));
        self.consume();
        self.recovering = false;
        true
    }

    /// Looks whether the next token can begin what comes now; drops one that cannot when the one after it can.
    pub(super) fn sync(&mut self, expected: Set) -> Result<(), Failed> {
        if self.recovering || has(expected, self.peek(0)) || self.delete_one(expected) {
            return Ok(());
        }
        self.mismatch(expected)
    }

    /// The tokens that can come after a place of the rules that are open.
    fn following(&self, after: Follow) -> Set {
        let mut out = after.tokens;
        let mut ends = after.ends;
        for follow in self.follows.iter().rev() {
            if !ends {
                break;
            }
            out |= follow.tokens;
            ends = follow.ends;
        }
        out
    }

    /// Skips to a token with which one of the open rules can go on.
    pub(super) fn recover(&mut self, site: u32) {
        if self.aborted || self.count_recovery().is_err() {
            return;
        }
        if self.last_error.0 == self.at && self.last_error.1.contains(&site) {
            self.consume();
        }
        if self.last_error.0 != self.at {
            self.last_error = (self.at, Vec::new());
        }
        self.last_error.1.push(site);
        let known = self.follows.iter().fold(0, |known, follow| known | follow.tokens);
        let mut skipped = 0;
        while self.peek(0) != Token::End && !has(known, self.peek(0)) {
            skipped += 1;
            if skipped > SKIPPED_MAX {
                let message = format!("error recovery token lookahead limit exceeded: {SKIPPED_MAX}");
                self.issues.report(None, message);
                self.aborted = true;
                return;
            }
            self.consume();
        }
    }

    /// Counts a rule that is entered.
    pub(super) fn enter(&mut self, rule: Rule) -> Result<(), Aborted> {
        let depth = &mut self.depths[rule as usize];
        *depth += 1;
        if *depth > DEPTH_MAX && !self.aborted {
            self.issues.report(None, format!("expression recursion limit exceeded: {DEPTH_MAX}"));
            self.aborted = true;
        }
        if self.aborted { Err(Aborted) } else { Ok(()) }
    }

    pub(super) fn leave(&mut self, rule: Rule) {
        let depth = &mut self.depths[rule as usize];
        *depth = depth.saturating_sub(1);
    }
}

fn escaped(text: &str) -> String {
    text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
}
