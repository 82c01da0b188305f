//! The grammar: from tokens to the tree, macros expanded. Each function is one rule of upstream's grammar.

use super::ast::{Element, Entry, Expr, Field, Id, Kind, Literal, Places};
use super::lexer::{self, Lexeme, Token};
use super::literal;
use super::macros::Maker;
use super::source::{Place, Reporter};
use super::syntax::{Failed, Follow, Rule, Set, Stream, has, set};

/// The longest expression, in characters.
const EXPRESSION_CHARS_MAX: usize = 100_000;

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
const UNARY: Set = PRIMARY | set(&[Token::Exclamation]);
const NUMBERS: Set = set(&[Token::Int, Token::Float]);
const NAMES: Set = set(&[Token::Ident, Token::EscapedIdent]);
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
pub(super) fn parse<'s>(text: &'s str, issues: &mut Reporter<'s>) -> (Expr, Places) {
    let mut places = Places::default();
    let chars = text.chars().count();
    if chars > EXPRESSION_CHARS_MAX {
        let message = format!("expression code point size exceeds limit: size: {chars}, limit {EXPRESSION_CHARS_MAX}");
        issues.report(None, message);
        return (Expr { id: places.add(None), kind: Kind::Missing }, places);
    }
    let tokens = lexer::tokens(text, issues);
    let mut parser = Parser { stream: Stream::new(text, tokens, issues), places };
    let expr = parser.start();
    (expr, parser.places)
}

struct Parser<'s, 'r> {
    stream: Stream<'s, 'r>,
    places: Places,
}

type Parsed<T = Expr> = Result<T, Failed>;

const fn follow(tokens: &[Token]) -> Follow {
    Follow { tokens: set(tokens), ends: false }
}

const fn may_follow(tokens: Set) -> Follow {
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

    /// Runs a rule as part of another; after an error in it parsing goes on behind it.
    fn rule(&mut self, site: u32, follow: Follow, parse: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        self.stream.follows.push(follow);
        let start = self.stream.lexeme(0);
        let parsed = if self.stream.aborted { Err(Failed) } else { parse(self) };
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

    fn expect(&mut self, token: Token, after: Follow) -> Parsed<Lexeme> {
        self.stream.expect(token, after)
    }

    fn start(&mut self) -> Expr {
        let Ok(expr) = self.expr(follow(&[Token::End])) else { return self.missing() };
        match self.expect(Token::End, may_follow(0)) {
            Ok(_) => expr,
            Err(Failed) => self.missing(),
        }
    }

    fn expr(&mut self, after: Follow) -> Parsed {
        if self.stream.enter(Rule::Expr).is_err() {
            return Err(Failed);
        }
        let parsed = self.rule(1, after, |parser| {
            let condition = parser.conditional_or(may_follow(set(&[Token::Question])))?;
            if parser.stream.peek(0) != Token::Question {
                return Ok(condition);
            }
            let op = parser.expect(Token::Question, may_follow(UNARY))?;
            let id = parser.places.add(Some(op.start));
            let yes = parser.conditional_or(follow(&[Token::Colon]))?;
            parser.expect(Token::Colon, Follow { tokens: UNARY, ends: false })?;
            let no = parser.expr(may_follow(0))?;
            Ok(parser.call(id, "_?_:_", vec![condition, yes, no]))
        });
        self.stream.leave(Rule::Expr);
        parsed
    }

    fn conditional_or(&mut self, after: Follow) -> Parsed {
        self.rule(2, after, |parser| {
            let and = Self::conditional_and;
            parser.logical(("_||_", Token::Or), and)
        })
    }

    fn conditional_and(&mut self, after: Follow) -> Parsed {
        self.rule(3, after, |parser| parser.logical(("_&&_", Token::And), Self::relation))
    }

    fn logical(&mut self, op: (&str, Token), term: impl Fn(&mut Self, Follow) -> Parsed) -> Parsed {
        let (function, token) = op;
        let after = may_follow(set(&[token]));
        let mut terms = vec![term(self, after)?];
        let mut id = None;
        while self.stream.peek(0) == token {
            let at = self.expect(token, may_follow(UNARY))?;
            terms.push(term(self, after)?);
            id = Some(self.places.add(Some(at.start)));
        }
        Ok(match id {
            Some(id) => self.call(id, function, terms),
            None => terms.remove(0),
        })
    }

    fn relation(&mut self, after: Follow) -> Parsed {
        let operators = [RELATIONS];
        self.binary(Rule::Relation, after, &operators)
    }

    fn calc(&mut self, after: Follow) -> Parsed {
        self.binary(Rule::Calc, after, &[TERMS, FACTORS])
    }

    /// A chain of operators that bind to the left; the sets of operators bind tighter from first to last.
    fn binary(&mut self, rule: Rule, after: Follow, operators: &[Set]) -> Parsed {
        if self.stream.enter(rule).is_err() {
            return Err(Failed);
        }
        let all = operators.iter().fold(0, |all, set| all | set);
        let site = 4 + rule as u32;
        let parsed = self.rule(site, after, |parser| {
            let mut left = match rule {
                Rule::Relation => parser.calc(may_follow(all))?,
                Rule::Expr | Rule::Calc | Rule::Member => parser.unary(may_follow(all))?,
            };
            while has(all, parser.stream.peek(0)) {
                let token = parser.stream.peek(0);
                if parser.stream.enter(rule).is_err() {
                    return Err(Failed);
                }
                let op = parser.expect(token, may_follow(UNARY))?;
                let tighter: &[Set] = match operators.iter().position(|set| has(*set, token)) {
                    Some(at) => &operators[at + 1..],
                    None => &[],
                };
                let right = parser.operand(rule, may_follow(all), tighter)?;
                let id = parser.places.add(Some(op.start));
                left = parser.call(id, function_of(token), vec![left, right]);
            }
            Ok(left)
        });
        self.stream.leave(rule);
        parsed
    }

    fn operand(&mut self, rule: Rule, after: Follow, tighter: &[Set]) -> Parsed {
        if !tighter.is_empty() {
            return self.binary(rule, after, tighter);
        }
        if self.stream.enter(rule).is_err() {
            return Err(Failed);
        }
        let parsed = self.rule(4 + rule as u32, after, |parser| match rule {
            Rule::Relation => parser.calc(after),
            Rule::Expr | Rule::Calc | Rule::Member => parser.unary(after),
        });
        self.stream.leave(rule);
        parsed
    }

    fn unary(&mut self, after: Follow) -> Parsed {
        self.rule(8, after, |parser| {
            parser.stream.sync(UNARY)?;
            let first = parser.stream.peek(0);
            let second = parser.stream.peek(1);
            match first {
                Token::Exclamation => parser.prefixed(Token::Exclamation, "!_"),
                Token::Minus if has(NUMBERS, second) => parser.member(may_follow(0)),
                Token::Minus if has(UNARY, second) && second != Token::Exclamation => {
                    parser.prefixed(Token::Minus, "-_")
                }
                Token::Minus => parser.stream.no_alternative(1),
                _ if has(PRIMARY, first) => parser.member(may_follow(0)),
                _ => parser.stream.no_alternative(0),
            }
        })
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
        Ok(self.call(id, function, vec![operand]))
    }

    fn member(&mut self, after: Follow) -> Parsed {
        if self.stream.enter(Rule::Member).is_err() {
            return Err(Failed);
        }
        let parsed = self.rule(MEMBER, after, |parser| {
            let mut operand = parser.primary(may_follow(SELECTORS))?;
            while has(SELECTORS, parser.stream.peek(0)) {
                if parser.stream.enter(Rule::Member).is_err() {
                    return Err(Failed);
                }
                operand = match (parser.stream.peek(0), parser.stream.peek(1), parser.stream.peek(2)) {
                    (Token::LeftBracket, ..) => parser.index(operand)?,
                    (_, Token::Ident, Token::LeftParen) => parser.member_call(operand)?,
                    (_, Token::Ident | Token::EscapedIdent | Token::Question, _) => parser.select(operand)?,
                    _ => return parser.stream.no_alternative(1),
                };
            }
            Ok(operand)
        });
        self.stream.leave(Rule::Member);
        parsed
    }

    fn index(&mut self, operand: Expr) -> Parsed {
        let op = self.expect(Token::LeftBracket, may_follow(UNARY))?;
        let optional = self.optional_mark(UNARY | set(&[Token::Question]))?;
        let id = self.places.add(Some(op.start));
        let index = self.expr(follow(&[Token::RightBracket]))?;
        self.expect(Token::RightBracket, may_follow(SELECTORS))?;
        Ok(self.call(id, if optional { "_[?_]" } else { "_[_]" }, vec![operand, index]))
    }

    fn optional_mark(&mut self, expected: Set) -> Parsed<bool> {
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
            let operand = Box::new(operand);
            return Ok(self.node(op, Kind::Select { operand, field, test_only: false }));
        }
        let id = self.places.add(Some(op.start));
        let field = self.node(at, Kind::Literal(Literal::String(field.into())));
        let kind = Kind::Call { target: None, function: "_?._".to_owned(), args: vec![operand, field] };
        Ok(Expr { id, kind })
    }

    fn field_name(&mut self) -> Parsed<(Lexeme, String)> {
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
        self.rule(12, after, |parser| {
            parser.stream.sync(PRIMARY)?;
            match parser.stream.peek(0) {
                Token::LeftParen => {
                    parser.expect(Token::LeftParen, may_follow(UNARY))?;
                    let inner = parser.expr(follow(&[Token::RightParen]))?;
                    parser.expect(Token::RightParen, may_follow(0))?;
                    Ok(inner)
                }
                Token::LeftBracket => parser.list(),
                Token::LeftBrace => parser.map(),
                Token::Dot if parser.stream.peek(1) != Token::Ident => parser.stream.no_alternative(1),
                Token::Dot => parser.name(1),
                Token::Ident => parser.name(0),
                token if has(LITERALS, token) => parser.rule(13, may_follow(0), Self::literal),
                _ => parser.stream.no_alternative(0),
            }
        })
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
        Ok(self.call_or_macro(id, &name, None, args))
    }

    fn message(&mut self, lexemes: usize) -> Parsed {
        let mut name = String::new();
        for _ in 0..lexemes {
            let lexeme = self.stream.lexeme(0);
            name.push_str(self.stream.slice(lexeme));
            self.expect(lexeme.token, may_follow(0))?;
        }
        let open = self.expect(Token::LeftBrace, may_follow(NAMES))?;
        let id = self.places.add(Some(open.start));
        let closing = set(&[Token::Comma, Token::RightBrace]);
        let begin = NAMES | set(&[Token::Question]);
        let fields = self.sequence(begin, closing, Self::field)?;
        self.close(Token::RightBrace)?;
        Ok(Expr { id, kind: Kind::Struct { name, fields } })
    }

    fn field(&mut self) -> Parsed<Field> {
        let optional = self.optional_mark(NAMES | set(&[Token::Question]))?;
        let (_, name) = self.field_name()?;
        let colon = self.expect(Token::Colon, Follow { tokens: UNARY, ends: false })?;
        let id = self.places.add(Some(colon.start));
        let value = self.expr(may_follow(set(&[Token::Comma])))?;
        Ok(Field { id, name, value, optional })
    }

    fn list(&mut self) -> Parsed {
        let open = self.expect(Token::LeftBracket, may_follow(UNARY))?;
        let id = self.places.add(Some(open.start));
        let closing = set(&[Token::Comma, Token::RightBracket]);
        let elements = self.sequence(UNARY | set(&[Token::Question]), closing, |parser| {
            let optional = parser.optional_mark(UNARY | set(&[Token::Question]))?;
            let value = parser.expr(may_follow(set(&[Token::Comma])))?;
            Ok(Element { value, optional })
        })?;
        self.close(Token::RightBracket)?;
        Ok(Expr { id, kind: Kind::List(elements) })
    }

    fn map(&mut self) -> Parsed {
        let open = self.expect(Token::LeftBrace, may_follow(UNARY))?;
        let id = self.places.add(Some(open.start));
        let closing = set(&[Token::Comma, Token::RightBrace]);
        let entries = self.sequence(UNARY | set(&[Token::Question]), closing, |parser| {
            let optional = parser.optional_mark(UNARY | set(&[Token::Question]))?;
            let key = parser.expr(follow(&[Token::Colon]))?;
            let colon = parser.expect(Token::Colon, Follow { tokens: UNARY, ends: false })?;
            parser.places.add(Some(colon.start));
            let value = parser.expr(may_follow(set(&[Token::Comma])))?;
            Ok(Entry { key, value, optional })
        })?;
        self.close(Token::RightBrace)?;
        Ok(Expr { id, kind: Kind::Map(entries) })
    }

    /// Items with commas between them; a comma at the end stays for [`Self::close`].
    fn sequence<T>(&mut self, begin: Set, closing: Set, item: impl Fn(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut out = Vec::new();
        self.stream.sync(begin | closing)?;
        if !has(begin, self.stream.peek(0)) {
            return Ok(out);
        }
        self.stream.follows.push(Follow { tokens: closing, ends: false });
        let mut read = || -> Parsed<()> {
            out.push(item(self)?);
            while self.stream.peek(0) == Token::Comma && has(begin, self.stream.peek(1)) {
                self.expect(Token::Comma, may_follow(begin))?;
                out.push(item(self)?);
            }
            Ok(())
        };
        if read().is_err() {
            self.stream.recover(14);
        }
        self.stream.follows.pop();
        if self.stream.aborted { Err(Failed) } else { Ok(out) }
    }

    fn close(&mut self, token: Token) -> Parsed<()> {
        self.stream.sync(set(&[Token::Comma, token]))?;
        if self.stream.peek(0) == Token::Comma {
            self.expect(Token::Comma, follow(&[token]))?;
        }
        self.expect(token, may_follow(0))?;
        Ok(())
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
        match (Maker { places: &mut self.places, place }).expand(function, target, args) {
            Ok(Ok(expr)) => expr,
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
