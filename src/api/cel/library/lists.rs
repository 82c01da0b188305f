//! Lists and lists as sets.

use std::cmp::Ordering;

use super::super::error::Error;
use super::super::number::{arithmetic, compare, contains, equal, int_of_double};
use super::super::value::{List, Value};
use super::int;

pub(super) const NAMES: &[&str] = &[
    "isSorted",
    "sum",
    "min",
    "max",
    "includes",
    "distinct",
    "flatten",
    "slice",
    "sort",
    "@sortByAssociatedKeys",
    "lists.range",
    "sets.contains",
    "sets.equivalent",
    "sets.intersects",
];

/// How many elements `lists.range`, `flatten` and `+` make at most; longer lists would cost more than any budget.
pub(in super::super) const ELEMENTS_MAX: usize = 2_000_000;

/// The index that a value is.
pub(in super::super) fn index(key: &Value<'_>) -> Result<Option<usize>, Error> {
    let index = match key {
        Value::Int(index) => Some(*index),
        Value::Uint(index) => i64::try_from(*index).ok(),
        Value::Double(index) => int_of_double(*index).ok().filter(|_| index.fract() == 0.0),
        _ => {
            return Err(Error::new(format!("unsupported index type '{}' in list", key.type_name())));
        }
    };
    match index {
        Some(index) => Ok(usize::try_from(index).ok()),
        None => Err(Error::new(format!("unsupported index value {key} in list"))),
    }
}

pub(super) fn run<'a>(name: &str, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match (name, args) {
        ("lists.range", [Value::Int(size)]) => range(*size),
        ("includes", [Value::List(list), value]) => {
            Ok(Value::Bool(position(list, value, Direction::Forward)?.is_some()))
        }
        ("includes", [one, other]) => Ok(Value::Bool(equal(one, other).unwrap_or(false))),
        (_, [Value::List(list)]) => of_one(name, list),
        ("indexOf" | "lastIndexOf", [Value::List(list), value]) => {
            let direction = if name == "indexOf" { Direction::Forward } else { Direction::Backward };
            Ok(position(list, value, direction)?.map_or(Value::Int(-1), int))
        }
        ("flatten", [Value::List(list), Value::Int(depth)]) => flatten(list, *depth),
        ("slice", [Value::List(list), Value::Int(from), Value::Int(to)]) => slice(list, *from, *to),
        ("@sortByAssociatedKeys", [Value::List(list), Value::List(keys)]) => sort(list, keys),
        ("sets.contains", [list, Value::List(part)]) => all_in(part, list).map(Value::Bool),
        ("sets.equivalent", [Value::List(one), Value::List(other)]) => {
            let both = all_in(other, &args[0])? && all_in(one, &args[1])?;
            Ok(Value::Bool(both))
        }
        ("sets.intersects", [Value::List(one), other]) => {
            for value in one.values()? {
                if contains(&value, other)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        _ => Err(Error::refused()),
    }
}

fn of_one<'a>(name: &str, list: &List<'a>) -> Result<Value<'a>, Error> {
    match name {
        "isSorted" => {
            let values = list.values()?;
            let sorted = values.windows(2).all(|two| !matches!(compare(&two[0], &two[1]), Ok(Ordering::Greater)));
            Ok(Value::Bool(sorted))
        }
        "sum" => sum(list),
        "min" => extreme(list, name, Ordering::Less),
        "max" => extreme(list, name, Ordering::Greater),
        "distinct" => {
            let mut unique: Vec<Value<'a>> = Vec::new();
            for value in list.values()? {
                if !unique.iter().any(|known| equal(&value, known).unwrap_or(false)) {
                    unique.push(value);
                }
            }
            Ok(Value::list(unique))
        }
        "flatten" => flatten(list, 1),
        "reverse" => {
            let mut values = list.values()?;
            values.reverse();
            Ok(Value::list(values))
        }
        "sort" => sort(list, list),
        _ => Err(Error::refused()),
    }
}

fn range<'a>(size: i64) -> Result<Value<'a>, Error> {
    let Ok(count) = usize::try_from(size) else {
        return Err(Error::new(format!("lists.range: size must be non-negative, got {size}")));
    };
    if count > ELEMENTS_MAX {
        return Err(Error::BudgetExceeded);
    }
    Ok(Value::list((0..count).map(int).collect()))
}

fn all_in<'a>(part: &List<'a>, list: &Value<'a>) -> Result<bool, Error> {
    for value in part.values()? {
        if !contains(&value, list)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn sum<'a>(list: &List<'a>) -> Result<Value<'a>, Error> {
    let values = list.values()?;
    let zero = match values.first() {
        Some(Value::Uint(_)) => Value::Uint(0),
        Some(Value::Double(_)) => Value::Double(0.0),
        Some(Value::Duration(_)) => Value::Duration(0),
        _ => Value::Int(0),
    };
    values.iter().try_fold(zero, |sum, value| arithmetic('+', &sum, value))
}

fn extreme<'a>(list: &List<'a>, name: &str, wanted: Ordering) -> Result<Value<'a>, Error> {
    let mut values = list.values()?.into_iter();
    let Some(first) = values.next() else { return Err(Error::new(format!("{name} called on empty list"))) };
    Ok(values.fold(first, |best, value| if compare(&value, &best) == Ok(wanted) { value } else { best }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

fn position<'a>(list: &List<'a>, value: &Value<'a>, direction: Direction) -> Result<Option<usize>, Error> {
    let length = list.len();
    for step in 0..length {
        let at = if direction == Direction::Forward { step } else { length - 1 - step };
        if equal(&list.get(at)?, value).unwrap_or(false) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

fn flatten<'a>(list: &List<'a>, depth: i64) -> Result<Value<'a>, Error> {
    if depth < 0 {
        return Err(Error::new("level must be non-negative"));
    }
    let mut out = Vec::new();
    flatten_into(list, depth, &mut out)?;
    Ok(Value::list(out))
}

fn flatten_into<'a>(list: &List<'a>, depth: i64, out: &mut Vec<Value<'a>>) -> Result<(), Error> {
    for value in list.values()? {
        match value {
            Value::List(inner) if depth > 0 => flatten_into(&inner, depth - 1, out)?,
            value => out.push(value),
        }
        if out.len() > ELEMENTS_MAX {
            return Err(Error::BudgetExceeded);
        }
    }
    Ok(())
}

fn slice<'a>(list: &List<'a>, from: i64, to: i64) -> Result<Value<'a>, Error> {
    let refuse = |why: &str| Err(Error::new(format!("cannot slice({from}, {to}), {why}")));
    let (Ok(start), Ok(end)) = (usize::try_from(from), usize::try_from(to)) else {
        return refuse("negative indexes not supported");
    };
    if start > end {
        return refuse("start index must be less than or equal to end index");
    }
    if end > list.len() {
        return refuse(&format!("list is length {}", list.len()));
    }
    (start..end).map(|at| list.get(at)).collect::<Result<Vec<_>, _>>().map(Value::list)
}

fn sort<'a>(list: &List<'a>, keys: &List<'a>) -> Result<Value<'a>, Error> {
    if list.len() != keys.len() {
        return Err(Error::new(format!(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got {} and {} \
             elements respectively",
            list.len(),
            keys.len()
        )));
    }
    let mut pairs: Vec<(Value<'a>, Value<'a>)> = keys.values()?.into_iter().zip(list.values()?).collect();
    if let Some((first, _)) = pairs.first() {
        if compare(first, first).is_err() && !matches!(first, Value::Double(_)) {
            return Err(Error::new("list elements must be comparable"));
        }
        if pairs.iter().any(|(key, _)| key.type_name() != first.type_name()) {
            return Err(Error::new("list elements must have the same type"));
        }
    }
    pairs.sort_by(|(one, _), (other, _)| compare(one, other).unwrap_or(Ordering::Equal));
    Ok(Value::list(pairs.into_iter().map(|(_, value)| value).collect()))
}
