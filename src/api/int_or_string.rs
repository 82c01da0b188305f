//! `intstr.IntOrString`: a number, a percentage or the name of a port, and how percentages are taken of a total.

use serde_json::Value;

use super::field::go_quote;

/// A number or a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IntOrString<'a> {
    Int(i32),
    Text(&'a str),
}

/// Which whole number a percentage becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rounding {
    Up,
    Down,
}

impl<'a> IntOrString<'a> {
    /// From JSON; `None` for anything but a 32-bit integer or a text.
    pub fn from_value(value: &'a Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_i64().and_then(|n| i32::try_from(n).ok()).map(Self::Int),
            Value::String(text) => Some(Self::Text(text)),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The number itself, or the percentage of `total`.
    ///
    /// # Errors
    /// With upstream's message when the text is no percentage.
    pub fn scaled(self, total: i64, rounding: Rounding) -> Result<i64, String> {
        let text = match self {
            Self::Int(number) => return Ok(number.into()),
            Self::Text(text) => text,
        };
        let invalid = |why: String| format!("invalid value for IntOrString: {why}");
        let Some(digits) = text.strip_suffix('%') else {
            return Err(invalid("invalid type: string is not a percentage".to_owned()));
        };
        let percent: i64 = digits.parse().map_err(|_| {
            invalid(format!(
                "invalid value {}: strconv.Atoi: parsing {}: invalid syntax",
                go_quote(text),
                go_quote(digits)
            ))
        })?;
        let product = i128::from(percent) * i128::from(total);
        let quotient = match rounding {
            Rounding::Down => product.div_euclid(100),
            Rounding::Up => -(-product).div_euclid(100),
        };
        Ok(i64::try_from(quotient).unwrap_or(if quotient < 0 { i64::MIN } else { i64::MAX }))
    }
}

impl std::fmt::Display for IntOrString<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_scale_up_and_down() {
        assert_eq!(IntOrString::Text("25%").scaled(10, Rounding::Up), Ok(3));
        assert_eq!(IntOrString::Text("25%").scaled(10, Rounding::Down), Ok(2));
        assert_eq!(IntOrString::Int(7).scaled(10, Rounding::Down), Ok(7));
        assert_eq!(
            IntOrString::Text("7").scaled(10, Rounding::Down),
            Err("invalid value for IntOrString: invalid type: string is not a percentage".to_owned())
        );
    }
}
