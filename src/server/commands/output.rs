//! How things are shown to people: times, tables, and texts that came from outside.

use std::io::{self, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// How much of a text a table shows.
const WIDEST: usize = 60;

/// Milliseconds since 1970 as ISO 8601 in the time zone of this machine, to the second.
pub(super) fn local(millis: i64) -> String {
    at(millis).to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// The same in UTC with milliseconds, as the API has it.
pub(super) fn utc(millis: i64) -> String {
    at(millis).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A text without what would steer a terminal.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// The same on one line, cut to what fits a table.
pub(super) fn brief(text: &str) -> String {
    let line: String = harmless(text).split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(WIDEST) {
        Some(_) => line.chars().take(WIDEST - 1).chain(['…']).collect(),
        None => line,
    }
}

/// Bytes as people read them.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: &[&str] = &["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = bytes as f64;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} {}", UNITS[0]) } else { format!("{amount:.1} {}", UNITS[unit]) }
}

/// A count and what is counted.
pub(super) fn count(number: impl TryInto<u64>, thing: &str) -> String {
    match number.try_into().unwrap_or(u64::MAX) {
        0 => format!("no {thing}s"),
        1 => format!("1 {thing}"),
        number => format!("{number} {thing}s"),
    }
}

/// Rows under headings, each column as wide as its widest cell.
pub(super) fn table<const N: usize>(
    out: &mut (impl Write + ?Sized),
    headings: [&str; N],
    rows: &[[String; N]],
) -> io::Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut line = |cells: [&str; N]| {
        let padded: String = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        writeln!(out, "{}", padded.trim_end())
    };
    line(headings)?;
    rows.iter().try_for_each(|row| line(std::array::from_fn(|column| row[column].as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_whatever_is_in_them() {
        let mut out = Vec::new();
        let rows = [["a".to_owned(), "größer".to_owned()], ["longer".to_owned(), String::new()]];
        table(&mut out, ["ID", "NAME"], &rows).expect("a vector");
        assert_eq!(String::from_utf8_lossy(&out), "ID      NAME\na       größer\nlonger\n");
    }

    #[test]
    fn texts_from_outside_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\nc\r\u{7}"), "a\u{fffd}[2Jb\nc\u{fffd}\u{fffd}");
        assert_eq!(brief(" two\n lines "), "two lines");
        assert_eq!(brief(&"x".repeat(61)).chars().count(), 60);
        assert_eq!(brief(&"ä".repeat(60)), "ä".repeat(60));
    }

    #[test]
    fn sizes_and_counts_read_well() {
        assert_eq!(size(17), "17 bytes");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(u64::MAX), "16777216.0 TiB");
        assert_eq!((count(0_u8, "thread"), count(1_u8, "run")), ("no threads".to_owned(), "1 run".to_owned()));
        assert_eq!(count(2_u8, "message"), "2 messages");
    }

    #[test]
    fn times_are_iso() {
        assert_eq!(utc(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        let local = local(1_700_000_000_123);
        assert_eq!(local.parse::<Timestamp>().expect("ISO 8601").as_second(), 1_700_000_000, "{local}");
    }
}
