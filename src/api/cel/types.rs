//! The types of CEL expressions, how upstream writes them in messages, and their unification. Used by the checker, the
//! cost estimate and whoever declares variables.

use std::fmt;
use std::sync::Arc;

/// The type of an expression, a variable or a function's argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Null,
    Timestamp,
    Duration,
    Dyn,
    Any,
    /// The type of what could not be checked; it agrees with everything.
    Error,
    /// A type that is still open. Numbers below [`FREE_FIRST`] are letters of declarations.
    Param(u32),
    List(Arc<Type>),
    Map(Arc<(Type, Type)>),
    /// A type with named fields.
    Object(Arc<str>),
    /// A type that is known by its name only.
    Opaque(Arc<str>, Arc<[Type]>),
    /// The type of a type.
    Type(Option<Arc<Type>>),
}

/// The first number of a type variable that the checker makes.
pub(super) const FREE_FIRST: u32 = 1000;

/// The name of the type of optional values.
pub(super) const OPTIONAL: &str = "optional_type";

impl Type {
    /// A list of elements of one type.
    pub fn list(of: Type) -> Self {
        Self::List(Arc::new(of))
    }

    /// A map of keys and values.
    pub fn map(key: Type, value: Type) -> Self {
        Self::Map(Arc::new((key, value)))
    }

    /// A value that may be absent.
    pub fn optional(of: Type) -> Self {
        Self::Opaque(OPTIONAL.into(), Arc::from([of]))
    }

    /// A type with fields, which the environment's types describe.
    pub fn object(name: &str) -> Self {
        Self::Object(name.into())
    }

    /// Whether everything may stand here, as far as the checker knows.
    pub(super) fn is_dyn(&self) -> bool {
        matches!(self, Self::Dyn | Self::Any)
    }

    pub(super) fn is_dyn_or_error(&self) -> bool {
        self.is_dyn() || *self == Self::Error
    }

    /// What an optional holds.
    pub(super) fn unwrapped(&self) -> Option<&Type> {
        match self {
            Self::Opaque(name, params) if &**name == OPTIONAL => params.first(),
            _ => None,
        }
    }

    /// Whether every value of the type has size 1.
    pub(super) fn is_scalar(&self) -> bool {
        match self {
            Self::Bool | Self::Double | Self::Duration | Self::Int | Self::Timestamp | Self::Uint => true,
            _ => self.unwrapped().is_some_and(Self::is_scalar),
        }
    }

    /// The name that the type has as a value.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Null => "null_type",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Duration => "google.protobuf.Duration",
            Self::Dyn | Self::Param(_) => "dyn",
            Self::Any => "google.protobuf.Any",
            Self::Error => "*error*",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Object(name) | Self::Opaque(name, _) => name,
            Self::Type(_) => "type",
        }
    }

    /// The type as upstream's Go type prints itself, which is not as the checker shows it.
    pub(super) fn declared(&self) -> String {
        let all = |name: &str, params: &[Self]| {
            let params: Vec<String> = params.iter().map(Self::declared).collect();
            if params.is_empty() { name.to_owned() } else { format!("{name}({})", params.join(", ")) }
        };
        match self {
            Self::List(of) => all("list", std::slice::from_ref(of)),
            Self::Map(of) => all("map", &[of.0.clone(), of.1.clone()]),
            Self::Opaque(name, params) => all(name, params),
            Self::Type(Some(of)) => all("type", std::slice::from_ref(of)),
            _ => self.name().to_owned(),
        }
    }

    /// Reads a type as upstream writes it; single capital letters are open types, names with a dot are objects.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, params) = match text.split_once('(') {
            Some((name, rest)) => (name, split_params(rest.strip_suffix(')')?)),
            None => (text, Vec::new()),
        };
        let mut params = params.into_iter().map(Self::parse);
        let mut next = || params.next().flatten();
        Some(match name {
            "bool" => Self::Bool,
            "int" => Self::Int,
            "uint" => Self::Uint,
            "double" => Self::Double,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "null" => Self::Null,
            "timestamp" => Self::Timestamp,
            "duration" => Self::Duration,
            "dyn" => Self::Dyn,
            "any" => Self::Any,
            "list" => Self::list(next()?),
            "map" => Self::map(next()?, next()?),
            "type" => Self::Type(next().map(Arc::new)),
            OPTIONAL => Self::optional(next()?),
            "net.IP" | "net.CIDR" => Self::Opaque(name.into(), Arc::from([])),
            _ if name.len() == 1 => Self::Param(u32::from(*name.as_bytes().first()?)),
            _ => Self::object(name),
        })
    }
}

fn split_params(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut out) = (0usize, 0, Vec::new());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                out.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    out.push(text[from..].trim());
    out
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::Any => f.write_str("any"),
            Self::Error => f.write_str("!error!"),
            Self::Param(number) if *number >= FREE_FIRST => write!(f, "_var{}", number - FREE_FIRST),
            Self::Param(number) => write!(f, "{}", char::from_u32(*number).unwrap_or('?')),
            Self::List(of) => write!(f, "list({of})"),
            Self::Map(of) => write!(f, "map({}, {})", of.0, of.1),
            Self::Type(Some(of)) => write!(f, "type({of})"),
            Self::Opaque(name, params) if !params.is_empty() => {
                write!(f, "{name}(")?;
                for (at, param) in params.iter().enumerate() {
                    write!(f, "{}{param}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Self::Bool
            | Self::Int
            | Self::Uint
            | Self::Double
            | Self::String
            | Self::Bytes
            | Self::Dyn
            | Self::Object(_)
            | Self::Opaque(..)
            | Self::Type(None) => f.write_str(self.name()),
        }
    }
}

/// What the open types of one check stand for.
#[derive(Default)]
pub(super) struct Mapping {
    bound: Vec<Option<Type>>,
    /// What each binding replaced, newest last, so that a failed attempt can be taken back.
    trail: Vec<(usize, Option<Type>)>,
}

impl Mapping {
    /// A type variable that nothing is known of.
    pub(super) fn fresh(&mut self) -> Type {
        self.bound.push(None);
        Type::Param(FREE_FIRST + u32::try_from(self.bound.len() - 1).unwrap_or(u32::MAX - FREE_FIRST))
    }

    fn find(&self, of: &Type) -> Option<&Type> {
        match of {
            Type::Param(number) => self.bound.get(number.checked_sub(FREE_FIRST)? as usize)?.as_ref(),
            _ => None,
        }
    }

    fn bind(&mut self, of: &Type, to: Type) {
        if let Type::Param(number) = of
            && let Some(at) = number.checked_sub(FREE_FIRST).map(|at| at as usize)
            && let Some(slot) = self.bound.get_mut(at)
        {
            self.trail.push((at, slot.replace(to)));
        }
    }

    /// Whether a value of the one type may stand where the other is wanted; binds open types when it may.
    pub(super) fn assignable(&mut self, from: &Type, to: &Type) -> bool {
        self.attempt(|mapping| mapping.unify(from, to))
    }

    /// The same for lists of types of one length.
    pub(super) fn all_assignable(&mut self, from: &[Type], to: &[Type]) -> bool {
        self.attempt(|mapping| mapping.unify_all(from, to))
    }

    fn attempt(&mut self, unify: impl FnOnce(&mut Self) -> bool) -> bool {
        let mark = self.trail.len();
        if unify(self) {
            return true;
        }
        while self.trail.len() > mark {
            if let Some((at, old)) = self.trail.pop() {
                self.bound[at] = old;
            }
        }
        false
    }

    fn unify_all(&mut self, from: &[Type], to: &[Type]) -> bool {
        from.len() == to.len() && from.iter().zip(to).all(|(from, to)| self.unify(from, to))
    }

    fn unify(&mut self, from: &Type, to: &Type) -> bool {
        if matches!(to, Type::Param(_)) {
            match self.valid_substitution(from, to) {
                (true, _) => return true,
                (false, true) => return false,
                (false, false) => {}
            }
        }
        if matches!(from, Type::Param(_)) {
            return self.valid_substitution(to, from).0;
        }
        if from.is_dyn_or_error() || to.is_dyn_or_error() {
            return true;
        }
        match (from, to) {
            (Type::Null, other) | (other, Type::Null) => {
                matches!(other, Type::Null | Type::Opaque(..) | Type::Object(_) | Type::Duration | Type::Timestamp)
            }
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(one), Type::List(other)) => self.unify(one, other),
            (Type::Map(one), Type::Map(other)) => self.unify(&one.0, &other.0) && self.unify(&one.1, &other.1),
            (Type::Opaque(one, of_one), Type::Opaque(other, of_other)) => {
                one == other && self.unify_all(of_one, of_other)
            }
            _ => from == to,
        }
    }

    /// Whether `param` can stand for `of`, and whether something was known of `param`.
    fn valid_substitution(&mut self, of: &Type, param: &Type) -> (bool, bool) {
        if of == param {
            return (true, true);
        }
        if let Some(known) = self.find(param).cloned() {
            if *of == known {
                return (true, true);
            }
            if !self.unify(of, &known) {
                return (false, true);
            }
            let general = if less_specific(of, &known) { of.clone() } else { known };
            if self.free_of(param, &general) {
                self.bind(param, general);
            }
            return (true, true);
        }
        if self.free_of(param, of) {
            self.bind(param, of.clone());
            return (true, false);
        }
        (false, false)
    }

    /// Whether the type variable does not stand inside the type.
    fn free_of(&self, param: &Type, within: &Type) -> bool {
        if param == within {
            return false;
        }
        match within {
            Type::Param(_) => self.find(within).is_none_or(|of| self.free_of(param, of)),
            Type::List(of) => self.free_of(param, of),
            Type::Map(of) => self.free_of(param, &of.0) && self.free_of(param, &of.1),
            Type::Opaque(_, of) => of.iter().all(|of| self.free_of(param, of)),
            Type::Type(Some(of)) => self.free_of(param, of),
            _ => true,
        }
    }

    /// The type with everything that is known put in.
    pub(super) fn substitute(&self, of: &Type, open: Open) -> Type {
        if let Some(known) = self.find(of) {
            return self.substitute(known, open);
        }
        match of {
            Type::Param(_) if open == Open::BecomesDyn => Type::Dyn,
            Type::List(of) => Type::list(self.substitute(of, open)),
            Type::Map(of) => Type::map(self.substitute(&of.0, open), self.substitute(&of.1, open)),
            Type::Opaque(name, params) => {
                Type::Opaque(name.clone(), params.iter().map(|of| self.substitute(of, open)).collect())
            }
            Type::Type(Some(of)) => Type::Type(Some(Arc::new(self.substitute(of, open)))),
            _ => of.clone(),
        }
    }
}

/// What becomes of type variables of which nothing is known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    Stays,
    BecomesDyn,
}

/// The declared type with its letters replaced.
pub(super) fn instantiate(of: &Type, letters: &[(u32, Type)]) -> Type {
    match of {
        Type::Param(number) => {
            letters.iter().find(|(letter, _)| letter == number).map_or_else(|| of.clone(), |(_, to)| to.clone())
        }
        Type::List(of) => Type::list(instantiate(of, letters)),
        Type::Map(of) => Type::map(instantiate(&of.0, letters), instantiate(&of.1, letters)),
        Type::Opaque(name, params) => {
            Type::Opaque(name.clone(), params.iter().map(|of| instantiate(of, letters)).collect())
        }
        Type::Type(Some(of)) => Type::Type(Some(Arc::new(instantiate(of, letters)))),
        _ => of.clone(),
    }
}

/// The letters in a declared type.
pub(super) fn letters(of: &Type, found: &mut Vec<u32>) {
    match of {
        Type::Param(number) if !found.contains(number) => found.push(*number),
        Type::List(of) => letters(of, found),
        Type::Map(of) => {
            letters(&of.0, found);
            letters(&of.1, found);
        }
        Type::Opaque(_, params) => params.iter().for_each(|of| letters(of, found)),
        Type::Type(Some(of)) => letters(of, found),
        _ => {}
    }
}

/// Whether the first type equals the second or says less.
pub(super) fn less_specific(one: &Type, other: &Type) -> bool {
    if one.is_dyn() || matches!(one, Type::Param(_)) {
        return true;
    }
    if other.is_dyn() || matches!(other, Type::Param(_)) {
        return false;
    }
    match (one, other) {
        (Type::Opaque(name, params), Type::Opaque(other_name, other_params)) => {
            name == other_name
                && params.len() == other_params.len()
                && params.iter().zip(&**other_params).all(|(one, other)| less_specific(one, other))
        }
        (Type::List(one), Type::List(other)) => less_specific(one, other),
        (Type::Map(one), Type::Map(other)) => less_specific(&one.0, &other.0) && less_specific(&one.1, &other.1),
        (Type::Type(_), Type::Type(_)) => true,
        _ => one == other,
    }
}
