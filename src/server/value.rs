//! The types settings have, and how each is read from what a person wrote. A text does wherever a number or
//! a switch does, so that flags, environment and `${VARIABLE}` need no reading of their own.

use std::fmt;
use std::time::Duration;

use super::file::Raw;

/// A type a setting can have.
pub(super) trait Setting: Sized {
    /// Reads it; the error says what was expected and shows no value.
    fn read(raw: Raw) -> Result<Self, String>;
}

/// A size in bytes: `1048576`, `"20MiB"`, `"5MB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) usize);

/// A text that must never be shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Setting for String {
    fn read(raw: Raw) -> Result<String, String> {
        match raw {
            Raw::Text(text) => Ok(text),
            other => Err(format!("expected a text, found {}", kind(&other))),
        }
    }
}

impl Setting for Secret {
    fn read(raw: Raw) -> Result<Secret, String> {
        String::read(raw).map(Secret)
    }
}

impl Setting for bool {
    fn read(raw: Raw) -> Result<bool, String> {
        match raw {
            Raw::Bool(on) => Ok(on),
            Raw::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "on" | "yes" | "1" => Ok(true),
                "false" | "off" | "no" | "0" => Ok(false),
                _ => Err("expected true or false".to_owned()),
            },
            other => Err(format!("expected true or false, found {}", kind(&other))),
        }
    }
}

impl Setting for usize {
    fn read(raw: Raw) -> Result<usize, String> {
        let read = match &raw {
            Raw::Integer(number) => usize::try_from(*number).ok(),
            Raw::Text(text) => text.trim().replace('_', "").parse().ok(),
            other => return Err(format!("expected a whole number, found {}", kind(other))),
        };
        read.ok_or_else(|| "expected a whole number, zero or more".to_owned())
    }
}

impl Setting for Vec<String> {
    fn read(raw: Raw) -> Result<Vec<String>, String> {
        match raw {
            Raw::List(items) => items.into_iter().map(String::read).collect(),
            Raw::Text(text) => {
                Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
            }
            other => Err(format!("expected a list of texts, found {}", kind(&other))),
        }
    }
}

impl Setting for Bytes {
    fn read(raw: Raw) -> Result<Bytes, String> {
        const EXPECTED: &str = "expected a size such as 1048576, \"20MiB\" or \"5MB\"";
        let wrong = || EXPECTED.to_owned();
        let (number, unit) = match &raw {
            Raw::Integer(number) => (*number as f64, String::new()),
            Raw::Text(text) => number_and_unit(text).ok_or_else(wrong)?,
            other => return Err(format!("{EXPECTED}, found {}", kind(other))),
        };
        let factor: u64 = match unit.as_str() {
            "" | "b" => 1,
            "kb" => 1000,
            "mb" => 1000 * 1000,
            "gb" => 1000 * 1000 * 1000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            _ => return Err(wrong()),
        };
        let bytes = number * factor as f64;
        // 2^53: beyond, a `f64` is no longer exact, and no machine has as much.
        if (0.0..=9_007_199_254_740_992.0).contains(&bytes) && bytes.fract() == 0.0 {
            usize::try_from(bytes as u64).map(Bytes).map_err(|_| "the size is too large".to_owned())
        } else {
            Err(wrong())
        }
    }
}

/// Whole numbers are seconds; `"off"` is zero.
impl Setting for Duration {
    fn read(raw: Raw) -> Result<Duration, String> {
        const EXPECTED: &str = "expected a time such as 15 (seconds), \"500ms\", \"10s\", \"5m\" or \"1h\"";
        let wrong = || EXPECTED.to_owned();
        let (number, unit) = match &raw {
            Raw::Integer(number) => (*number as f64, String::new()),
            Raw::Float(number) => (*number, String::new()),
            Raw::Bool(false) => return Ok(Duration::ZERO),
            Raw::Text(text) if text.trim().eq_ignore_ascii_case("off") => return Ok(Duration::ZERO),
            Raw::Text(text) => number_and_unit(text).ok_or_else(wrong)?,
            other => return Err(format!("{EXPECTED}, found {}", kind(other))),
        };
        let factor = match unit.as_str() {
            "ms" => 0.001,
            "" | "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return Err(wrong()),
        };
        let seconds = Duration::try_from_secs_f64(number * factor).map_err(|_| wrong())?;
        // Sums with the clock must not overflow anywhere; a century is for ever.
        if seconds > Duration::from_secs(100 * 365 * 86400) { Err(wrong()) } else { Ok(seconds) }
    }
}

/// `"20 MiB"` is 20 and `mib`.
fn number_and_unit(text: &str) -> Option<(f64, String)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.replace('_', "").parse().ok()?, unit.trim().to_ascii_lowercase()))
}

pub(super) fn kind(raw: &Raw) -> &'static str {
    match raw {
        Raw::Text(_) => "a text",
        Raw::Integer(_) | Raw::Float(_) => "a number",
        Raw::Bool(_) => "true or false",
        Raw::List(_) => "a list",
        Raw::Other(kind) => kind,
        Raw::Broken => "nothing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<T: Setting>(text: &str) -> Result<T, String> {
        T::read(Raw::Text(text.to_owned()))
    }

    #[test]
    fn sizes_as_people_write_them() {
        assert_eq!(text("20MiB"), Ok(Bytes(20 << 20)));
        assert_eq!(text("1.5 kb"), Ok(Bytes(1500)));
        assert_eq!(text("1_000"), Ok(Bytes(1000)));
        assert_eq!(Bytes::read(Raw::Integer(7)), Ok(Bytes(7)));
        for wrong in ["", "MiB", "20M", "-1", "0.5", "1e3", "99999999GiB"] {
            assert!(text::<Bytes>(wrong).is_err(), "{wrong}");
        }
        assert!(Bytes::read(Raw::Integer(-1)).is_err());
    }

    #[test]
    fn times_as_people_write_them() {
        assert_eq!(text("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(text("5 m"), Ok(Duration::from_secs(300)));
        assert_eq!(text("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(text("15"), Ok(Duration::from_secs(15)));
        assert_eq!(text("off"), Ok(Duration::ZERO));
        assert_eq!(Duration::read(Raw::Integer(0)), Ok(Duration::ZERO));
        for wrong in ["", "s", "5 weeks", "-1s", "999999999d"] {
            assert!(text::<Duration>(wrong).is_err(), "{wrong}");
        }
        assert!(Duration::read(Raw::Integer(-1)).is_err());
        assert!(Duration::read(Raw::Float(f64::NAN)).is_err());
    }

    #[test]
    fn texts_do_for_switches_numbers_and_lists() {
        assert_eq!(text("On"), Ok(true));
        assert_eq!(text("0"), Ok(false));
        assert!(text::<bool>("maybe").is_err());
        assert_eq!(text("1_000"), Ok(1000_usize));
        assert_eq!(text(" a, b ,"), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert!(String::read(Raw::Integer(1)).is_err());
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(format!("{:?}", Secret("s3cret".to_owned())), "(secret)");
    }
}
