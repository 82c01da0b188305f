//! The part of the grammar that is lists, maps and objects with their fields.

use super::ast::{Element, Entry, Expr, Field, Kind};
use super::lexer::Token;
use super::parser::{NAMES, Parsed, Parser, UNARY, follow, may_follow};
use super::syntax::{Failed, Follow, Set, has, set};

impl Parser<'_, '_> {
    pub(super) fn message(&mut self, lexemes: usize) -> Parsed {
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
        fields.iter().for_each(|field: &Field| self.places.hold(id, field.value.id));
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

    pub(super) fn list(&mut self) -> Parsed {
        let open = self.expect(Token::LeftBracket, may_follow(UNARY))?;
        let id = self.places.add(Some(open.start));
        let closing = set(&[Token::Comma, Token::RightBracket]);
        let elements = self.sequence(UNARY | set(&[Token::Question]), closing, |parser| {
            let optional = parser.optional_mark(UNARY | set(&[Token::Question]))?;
            let value = parser.expr(may_follow(set(&[Token::Comma])))?;
            parser.places.hold(id, value.id);
            Ok(Element { value, optional })
        })?;
        self.close(Token::RightBracket)?;
        Ok(Expr { id, kind: Kind::List(elements) })
    }

    pub(super) fn map(&mut self) -> Parsed {
        let open = self.expect(Token::LeftBrace, may_follow(UNARY))?;
        let id = self.places.add(Some(open.start));
        let closing = set(&[Token::Comma, Token::RightBrace]);
        let entries = self.sequence(UNARY | set(&[Token::Question]), closing, |parser| {
            let optional = parser.optional_mark(UNARY | set(&[Token::Question]))?;
            let key = parser.expr(follow(&[Token::Colon]))?;
            let colon = parser.expect(Token::Colon, Follow { tokens: UNARY, ends: false })?;
            parser.places.add(Some(colon.start));
            let value = parser.expr(may_follow(set(&[Token::Comma])))?;
            parser.places.hold(id, key.id);
            parser.places.hold(id, value.id);
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
}
