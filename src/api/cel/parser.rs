//! The grammar: from tokens to the tree, macros expanded. Each function is one rule of upstream's grammar.

use super::ast::{Expr, Id, Kind, Literal, Places};
use super::lexer::{self, Lexeme, Token};
use super::literal;
use super::macros::{Macros, Maker};
use super::source::{Place, Reporter};
use super::syntax::{Aborted, Failed, Follow, Rule, Set, Stream, has, set};

/// The longest expression, in characters.
const EXPRESSION_CHARS_MAX: usize = 100_000;

/// How many operators and selections may stand inside each other.
const NESTING_MAX: u32 = 250;

/// Words that are no variables.
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "package",
    "namespace",
    "null",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// The number of the rule for selections, whose failures have a place.
const MEMBER: u32 = 9;

const LITERALS: Set = set(&[
    Token::Minus,
    Token::True,
    Token::False,
    Token::Null,
    Token::Float,
    Token::Int,
    Token::Uint,
    Token::String,
    Token::Bytes,
]);
const PRIMARY: Set =
    set(&[Token::LeftBracket, Token::LeftBrace, Token::LeftParen, Token::Dot, Token::Ident]) | LITERALS;
pub(super) const UNARY: Set = PRIMARY | set(&[Token::Exclamation]);
const NUMBERS: Set = set(&[Token::Int, Token::Float]);
pub(super) const NAMES: Set = set(&[Token::Ident, Token::EscapedIdent]);
const RELATIONS: Set = set(&[
    Token::Less,
    Token::LessEquals,
    Token::GreaterEquals,
    Token::Greater,
    Token::Equals,
    Token::NotEquals,
    Token::In,
]);
const FACTORS: Set = set(&[Token::Star, Token::Slash, Token::Percent]);
const TERMS: Set = set(&[Token::Plus, Token::Minus]);
const SELECTORS: Set = set(&[Token::Dot, Token::LeftBracket]);

/// Parses a text; what is wrong with it goes to the issues.
pub(super) fn parse<'s>(text: &'s str, macros: Macros, issues: &mut Reporter<'s>) -> (Expr, Places) {
    let mut places = Places::default();
    let chars = text.chars().count();
    if chars > EXPRESSION_CHARS_MAX {
        let message = format!("expression code point size exceeds limit: size: {chars}, limit {EXPRESSION_CHARS_MAX}");
        issues.report(None, message);
        return (Expr { id: places.add(None), kind: Kind::Missing }, places);
    }
    let Some(tokens) = lexer::tokens(text, issues) else {
        return (Expr { id: places.add(None), kind: Kind::Missing }, places);
    };
    let mut parser = Parser { macros, stream: Stream::new(text, tokens, issues), places };
    let expr = parser.start();
    (expr, parser.places)
}

pub(super) struct Parser<'s, 'r> {
    pub(super) stream: Stream<'s, 'r>,
    pub(super) places: Places,
    macros: Macros,
}

pub(super) type Parsed<T = Expr> = Result<T, Failed>;

/// The levels of precedence, the loosest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Or,
    And,
    Relation,
    RelationOperand,
    Term,
    Factor,
    Unary,
}

pub(super) const fn follow(tokens: &[Token]) -> Follow {
    Follow { tokens: set(tokens), ends: false }
}

pub(super) const fn may_follow(tokens: Set) -> Follow {
    Follow { tokens, ends: true }
}

impl Parser<'_, '_> {
    fn node(&mut self, at: Lexeme, kind: Kind) -> Expr {
        Expr { id: self.places.add(Some(at.start)), kind }
    }

    fn missing(&mut self) -> Expr {
        Expr { id: self.places.add(None), kind: Kind::Missing }
    }

    fn report(&mut self, at: Place, message: impl Into<String>) -> Expr {
        self.stream.issues.report(at, message);
        Expr { id: self.places.add(at), kind: Kind::Missing }
    }

    /// Ends a rule that is part of another: after an error in it parsing goes on behind it.
    fn end(&mut self, site: u32, start: Lexeme, parsed: Parsed) -> Parsed {
        let expr = match parsed {
            Ok(expr) => expr,
            Err(Failed) => {
                self.stream.recover(site);
                if site == MEMBER { self.node(start, Kind::Missing) } else { self.missing() }
            }
        };
        self.stream.follows.pop();
        if self.stream.aborted { Err(Failed) } else { Ok(expr) }
    }

    fn enter(&mut self, rule: Rule) -> Parsed<()> {
        self.stream.enter(rule).map_err(|Aborted| Failed)
    }

    pub(super) fn expect(&mut self, token: Token, after: Follow) -> Parsed<Lexeme> {
        self.stream.expect(token, after)
    }

    fn start(&mut self) -> Expr {
        let Ok(expr) = self.expr(follow(&[Token::End])) else { return self.missing() };
        if self.places.nesting(expr.id) > NESTING_MAX {
            return self.report(None, "max recursion depth exceeded");
        }
        match self.expect(Token::End, may_follow(0)) {
            Ok(_) => expr,
            Err(Failed) => self.missing(),
        }
    }

    pub(super) fn expr(&mut self, after: Follow) -> Parsed {
        self.enter(Rule::Expr)?;
        self.stream.follows.push(after);
        let start = self.stream.lexeme(0);
        let parsed = self.conditional();
        let parsed = self.end(1, start, parsed);
        self.stream.leave(Rule::Expr);
        parsed
    }

    fn conditional(&mut self) -> Parsed {
        let question = may_follow(set(&[Token::Question]));
        let condition = self.operators(Level::Or, question)?;
        if self.stream.peek(0) != Token::Question {
            return Ok(condition);
        }
        let op = self.expect(Token::Question, may_follow(UNARY))?;
        let id = self.places.add(Some(op.start));
        let yes = self.operators(Level::Or, follow(&[Token::Colon]))?;
        self.expect(Token::Colon, Follow { tokens: UNARY, ends: false })?;
        let no = self.expr(may_follow(0))?;
        self.places.nest(id, &[condition.id, yes.id, no.id]);
        Ok(self.call(id, "_?_:_", vec![condition, yes, no]))
    }

    /// Operands and operators from a level of precedence up. All levels are in one function, because each nesting
    /// goes through all of them and the stack is finite.
    fn operators(&mut self, level: Level, after: Follow) -> Parsed {
        self.stream.follows.push(after);
        let opened = self.open_levels(level)?;
        let mut left = self.unary(may_follow(FACTORS | TERMS))?;
        loop {
            let (operators, operand) = match self.stream.peek(0) {
                token if has(FACTORS, token) && level <= Level::Factor => (FACTORS | TERMS, Level::Unary),
                token if has(TERMS, token) && level <= Level::Term => (FACTORS | TERMS, Level::Factor),
                _ => break,
            };
            left = self.binary(left, operators, operand)?;
        }
        self.stream.follows.pop();
        self.stream.leave(Rule::Calc);
        if level <= Level::RelationOperand {
            while level <= Level::Relation && has(RELATIONS, self.stream.peek(0)) {
                left = self.binary(left, RELATIONS, Level::RelationOperand)?;
            }
            self.stream.leave(Rule::Relation);
        }
        if level <= Level::And {
            left = self.logical(left, ("_&&_", Token::And), Level::Relation)?;
        }
        if level <= Level::Or {
            left = self.logical(left, ("_||_", Token::Or), Level::And)?;
        }
        for _ in 0..opened {
            self.stream.follows.pop();
        }
        Ok(left)
    }

    /// Enters the rules of the levels; how many there are to leave behind the calculation.
    fn open_levels(&mut self, level: Level) -> Parsed<usize> {
        let before = self.stream.follows.len() - 1;
        if level <= Level::Or {
            self.stream.follows.push(may_follow(set(&[Token::Or])));
        }
        if level <= Level::And {
            self.stream.follows.push(may_follow(set(&[Token::And])));
        }
        if level <= Level::RelationOperand {
            self.enter(Rule::Relation)?;
            self.stream.follows.push(may_follow(RELATIONS));
        }
        self.enter(Rule::Calc)?;
        // The calculation's own entry is left before the relation's operators are looked for.
        self.stream.follows.push(may_follow(FACTORS | TERMS));
        Ok(self.stream.follows.len() - 1 - before)
    }

    /// One operator and its right operand.
    fn binary(&mut self, left: Expr, operators: Set, operand: Level) -> Parsed {
        let token = self.stream.peek(0);
        let op = self.expect(token, may_follow(UNARY))?;
        let right = self.operators(operand, may_follow(operators))?;
        let id = self.places.add(Some(op.start));
        self.places.nest(id, &[left.id, right.id]);
        Ok(self.call(id, function_of(token), vec![left, right]))
    }

    fn logical(&mut self, left: Expr, (function, token): (&str, Token), operand: Level) -> Parsed {
        if self.stream.peek(0) != token {
            return Ok(left);
        }
        let mut terms = vec![left];
        let mut id = 0;
        while self.stream.peek(0) == token {
            let at = self.expect(token, may_follow(UNARY))?;
            terms.push(self.operators(operand, may_follow(set(&[token])))?);
            id = self.places.add(Some(at.start));
        }
        terms.iter().for_each(|term| self.places.hold(id, term.id));
        Ok(self.call(id, function, terms))
    }

    fn unary(&mut self, after: Follow) -> Parsed {
        self.stream.follows.push(after);
        let start = self.stream.lexeme(0);
        let parsed = self.unary_inside();
        self.end(8, start, parsed)
    }

    fn unary_inside(&mut self) -> Parsed {
        self.stream.sync(UNARY)?;
        let first = self.stream.peek(0);
        let second = self.stream.peek(1);
        match first {
            Token::Exclamation => self.prefixed(Token::Exclamation, "!_"),
            Token::Minus if has(NUMBERS, second) => self.member(may_follow(0)),
            Token::Minus if has(UNARY, second) && second != Token::Exclamation => self.prefixed(Token::Minus, "-_"),
            Token::Minus => self.stream.no_alternative(1),
            _ if has(PRIMARY, first) => self.member(may_follow(0)),
            _ => self.stream.no_alternative(0),
        }
    }

    fn prefixed(&mut self, token: Token, function: &str) -> Parsed {
        let first = self.stream.lexeme(0);
        let mut count = 0;
        while self.stream.peek(0) == token {
            let again = count > 0 && token == Token::Minus;
            if again && !has(PRIMARY, self.stream.peek(1)) {
                return self.stream.no_alternative(1);
            }
            self.expect(token, may_follow(PRIMARY))?;
            count += 1;
        }
        if !has(PRIMARY, self.stream.peek(0)) {
            return self.stream.unwanted(PRIMARY | set(&[token]));
        }
        if count % 2 == 0 {
            return self.member(may_follow(0));
        }
        // The operator's number comes before the operand's.
        let id = self.places.add(Some(first.start));
        let operand = self.member(may_follow(0))?;
        self.places.hold(id, operand.id);
        Ok(self.call(id, function, vec![operand]))
    }

    fn member(&mut self, after: Follow) -> Parsed {
        self.enter(Rule::Member)?;
        self.stream.follows.push(after);
        let start = self.stream.lexeme(0);
        let parsed = self.member_inside();
        let parsed = self.end(MEMBER, start, parsed);
        self.stream.leave(Rule::Member);
        parsed
    }

    fn member_inside(&mut self) -> Parsed {
        let mut operand = self.primary(may_follow(SELECTORS))?;
        while has(SELECTORS, self.stream.peek(0)) {
            operand = match (self.stream.peek(0), self.stream.peek(1), self.stream.peek(2)) {
                (Token::LeftBracket, ..) => self.index(operand)?,
                (_, Token::Ident, Token::LeftParen) => self.member_call(operand)?,
                (_, Token::Ident | Token::EscapedIdent | Token::Question, _) => self.select(operand)?,
                _ => return self.stream.no_alternative(1),
            };
        }
        Ok(operand)
    }

    fn index(&mut self, operand: Expr) -> Parsed {
        let op = self.expect(Token::LeftBracket, may_follow(UNARY))?;
        let optional = self.optional_mark(UNARY | set(&[Token::Question]))?;
        let id = self.places.add(Some(op.start));
        let index = self.expr(follow(&[Token::RightBracket]))?;
        self.expect(Token::RightBracket, may_follow(SELECTORS))?;
        self.places.nest(id, &[operand.id, index.id]);
        Ok(self.call(id, if optional { "_[?_]" } else { "_[_]" }, vec![operand, index]))
    }

    pub(super) fn optional_mark(&mut self, expected: Set) -> Parsed<bool> {
        self.stream.sync(expected)?;
        if self.stream.peek(0) != Token::Question {
            return Ok(false);
        }
        self.expect(Token::Question, may_follow(UNARY))?;
        Ok(true)
    }

    fn select(&mut self, operand: Expr) -> Parsed {
        let op = self.expect(Token::Dot, may_follow(NAMES))?;
        let optional = self.optional_mark(NAMES | set(&[Token::Question]))?;
        self.stream.follows.push(may_follow(SELECTORS));
        let start = self.stream.lexeme(0).start;
        let name = self.field_name();
        if name.is_err() {
            self.stream.recover(10);
        }
        self.stream.follows.pop();
        let Ok((at, field)) = name else { return Ok(self.report(Some(start), "unsupported ident kind")) };
        if !optional {
            let id = self.places.add(Some(op.start));
            self.places.nest(id, &[operand.id]);
            return Ok(Expr { id, kind: Kind::Select { operand: Box::new(operand), field, test_only: false } });
        }
        let id = self.places.add(Some(op.start));
        let field = self.node(at, Kind::Literal(Literal::String(field.into())));
        self.places.nest(id, &[operand.id]);
        let kind = Kind::Call { target: None, function: "_?._".to_owned(), args: vec![operand, field] };
        Ok(Expr { id, kind })
    }

    pub(super) fn field_name(&mut self) -> Parsed<(Lexeme, String)> {
        self.stream.sync(NAMES)?;
        let token = self.stream.peek(0);
        if !has(NAMES, token) {
            return self.stream.no_alternative(0);
        }
        let at = self.expect(token, may_follow(0))?;
        let text = self.stream.slice(at);
        Ok((at, text.trim_matches('`').to_owned()))
    }

    fn member_call(&mut self, operand: Expr) -> Parsed {
        self.expect(Token::Dot, may_follow(NAMES))?;
        let name = self.expect(Token::Ident, may_follow(0))?;
        let open = self.expect(Token::LeftParen, may_follow(UNARY))?;
        let function = self.stream.slice(name).to_owned();
        let args = self.arguments(SELECTORS)?;
        let id = self.places.add(Some(open.start));
        let parts: Vec<Id> = std::iter::once(operand.id).chain(args.iter().map(|arg| arg.id)).collect();
        self.places.nest(id, &parts);
        Ok(self.call_or_macro(id, &function, Some(operand), args))
    }

    fn arguments(&mut self, after: Set) -> Parsed<Vec<Expr>> {
        let mut args = Vec::new();
        self.stream.sync(UNARY | set(&[Token::RightParen]))?;
        if has(UNARY, self.stream.peek(0)) {
            self.stream.follows.push(follow(&[Token::RightParen]));
            let listed = self.argument_list(&mut args);
            if listed.is_err() {
                self.stream.recover(11);
            }
            self.stream.follows.pop();
            if self.stream.aborted {
                return Err(Failed);
            }
        }
        self.expect(Token::RightParen, may_follow(after))?;
        Ok(args)
    }

    fn argument_list(&mut self, args: &mut Vec<Expr>) -> Parsed<()> {
        let after = may_follow(set(&[Token::Comma]));
        args.push(self.expr(after)?);
        while self.stream.peek(0) == Token::Comma {
            self.expect(Token::Comma, may_follow(UNARY))?;
            args.push(self.expr(after)?);
        }
        Ok(())
    }

    fn primary(&mut self, after: Follow) -> Parsed {
        self.stream.follows.push(after);
        let start = self.stream.lexeme(0);
        let parsed = self.primary_inside();
        self.end(12, start, parsed)
    }

    fn primary_inside(&mut self) -> Parsed {
        self.stream.sync(PRIMARY)?;
        match self.stream.peek(0) {
            Token::LeftParen => {
                self.expect(Token::LeftParen, may_follow(UNARY))?;
                let inner = self.expr(follow(&[Token::RightParen]))?;
                self.expect(Token::RightParen, may_follow(0))?;
                Ok(inner)
            }
            Token::LeftBracket => self.list(),
            Token::LeftBrace => self.map(),
            Token::Dot if self.stream.peek(1) != Token::Ident => self.stream.no_alternative(1),
            Token::Dot => self.name(1),
            Token::Ident => self.name(0),
            token if has(LITERALS, token) => {
                self.stream.follows.push(may_follow(0));
                let start = self.stream.lexeme(0);
                let parsed = self.literal();
                self.end(13, start, parsed)
            }
            _ => self.stream.no_alternative(0),
        }
    }

    /// A variable, a call of a function or a struct; `dots` is whether a dot stands before it.
    fn name(&mut self, dots: usize) -> Parsed {
        let mut ahead = dots;
        while self.stream.peek(ahead + 1) == Token::Dot && self.stream.peek(ahead + 2) == Token::Ident {
            ahead += 2;
        }
        if self.stream.peek(ahead + 1) == Token::LeftBrace {
            return self.message(ahead + 1);
        }
        let first = self.stream.lexeme(0);
        if dots == 1 {
            self.expect(Token::Dot, may_follow(0))?;
        }
        let ident = self.expect(Token::Ident, may_follow(0))?;
        let word = self.stream.slice(ident);
        let name = format!("{}{word}", if dots == 1 { "." } else { "" });
        let reserved = RESERVED.contains(&word);
        if self.stream.peek(0) != Token::LeftParen {
            return Ok(if reserved {
                self.report(Some(first.start), format!("reserved identifier: {word}"))
            } else {
                self.node(ident, Kind::Ident(name))
            });
        }
        let open = self.expect(Token::LeftParen, may_follow(UNARY))?;
        let args = self.arguments(0)?;
        if reserved {
            return Ok(self.report(Some(first.start), format!("reserved identifier: {word}")));
        }
        let id = self.places.add(Some(open.start));
        args.iter().for_each(|arg| self.places.hold(id, arg.id));
        Ok(self.call_or_macro(id, &name, None, args))
    }

    fn literal(&mut self) -> Parsed {
        let first = self.stream.lexeme(0);
        let negative = first.token == Token::Minus;
        if negative && !has(NUMBERS, self.stream.peek(1)) {
            return self.stream.no_alternative(1);
        }
        if negative {
            self.expect(Token::Minus, may_follow(NUMBERS))?;
        }
        let token = self.stream.peek(0);
        let at = self.expect(token, may_follow(0))?;
        let text = self.stream.slice(at);
        let value = literal::value(token, text, negative);
        Ok(match value {
            Ok(value) => self.node(first, Kind::Literal(value)),
            Err(message) => self.report(Some(first.start), message),
        })
    }

    fn call(&mut self, id: Id, function: &str, args: Vec<Expr>) -> Expr {
        Expr { id, kind: Kind::Call { target: None, function: function.to_owned(), args } }
    }

    fn call_or_macro(&mut self, id: Id, function: &str, target: Option<Expr>, args: Vec<Expr>) -> Expr {
        let place = self.places.get(id);
        match (Maker { places: &mut self.places, place, macros: self.macros }).expand(function, target, args) {
            Ok(Ok(expr)) => {
                self.places.hold(expr.id, id);
                expr
            }
            Ok(Err((about, message))) => {
                let place = self.places.get(about);
                self.report(place, message)
            }
            Err(call) => {
                let target = call.target.map(Box::new);
                Expr { id, kind: Kind::Call { target, function: function.to_owned(), args: call.args } }
            }
        }
    }
}

fn function_of(operator: Token) -> &'static str {
    match operator {
        Token::Less => "_<_",
        Token::LessEquals => "_<=_",
        Token::GreaterEquals => "_>=_",
        Token::Greater => "_>_",
        Token::Equals => "_==_",
        Token::NotEquals => "_!=_",
        Token::In => "@in",
        Token::Plus => "_+_",
        Token::Minus => "_-_",
        Token::Star => "_*_",
        Token::Slash => "_/_",
        _ => "_%_",
    }
}
