//! Reads the OpenMetrics text format, and is strict about it.

use std::collections::BTreeMap;

/// What was exposed.
#[derive(Debug)]
pub(crate) struct Exposition {
    /// The type of each family.
    families: BTreeMap<String, String>,
    /// Each series, by name and labels.
    pub(crate) samples: BTreeMap<(String, BTreeMap<String, String>), f64>,
}

impl Exposition {
    /// Reads a text whole; panics where it breaks the format.
    pub(crate) fn read(text: &str) -> Exposition {
        let mut read = Exposition { families: BTreeMap::new(), samples: BTreeMap::new() };
        let body = text.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("it does not end as it has to: {text}"));
        let mut current = None;
        for line in body.lines() {
            match line.strip_prefix("# ") {
                Some(comment) => {
                    let mut words = comment.splitn(3, ' ');
                    let (kind, name, rest) = (words.next(), words.next().expect("a name"), words.next().expect("more"));
                    match kind {
                        Some("HELP") => assert!(!rest.is_empty(), "{line}"),
                        Some("TYPE") => {
                            assert!(read.families.insert(name.to_owned(), rest.to_owned()).is_none(), "twice: {line}");
                            current = Some(name.to_owned());
                        }
                        _ => panic!("no such comment: {line}"),
                    }
                }
                None => read.sample(line, current.as_deref()),
            }
        }
        read.check_histograms();
        read
    }

    fn sample(&mut self, line: &str, family: Option<&str>) {
        // Values have no spaces, and labels may.
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, read_labels(labels.strip_suffix('}').expect("a closing brace"))),
            None => (series, BTreeMap::new()),
        };
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "no name: {line}");
        // The help may come first, and then the samples belong to the family whose type came last.
        let family = family.unwrap_or_else(|| panic!("of no family: {line}"));
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("not of {family}: {line}"));
        let suffixes: &[&str] = match self.families[family].as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_sum", "_count"],
            other => panic!("no type: {other}"),
        };
        assert!(suffixes.contains(&suffix), "not of its type: {line}");
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(self.samples.insert((name.to_owned(), labels), value).is_none(), "twice: {line}");
    }

    /// Buckets grow, and the last is the count.
    fn check_histograms(&self) {
        let histograms = self.families.iter().filter(|(_, kind)| *kind == "histogram").map(|(name, _)| name);
        for name in histograms {
            let mut last: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
            for ((sample, labels), value) in &self.samples {
                if *sample == format!("{name}_bucket") {
                    let mut labels = labels.clone();
                    let bound = labels.remove("le").expect("a bound");
                    let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("a number") };
                    last.entry(labels).or_default().push((bound, *value));
                }
            }
            for (labels, mut buckets) in last {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{name} {labels:?}: {buckets:?}");
                let (bound, all) = buckets.last().expect("a bucket");
                let count = self.samples[&(format!("{name}_count"), labels.clone())];
                assert_eq!((*bound, *all), (f64::INFINITY, count), "{name} {labels:?}");
            }
        }
    }

    /// The value of a series.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let owned = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let found = self.samples.get(&(name.to_owned(), owned));
        *found.unwrap_or_else(|| panic!("there is no {name} {labels:?}: {:#?}", self.samples))
    }

    /// The names of all series.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.samples.keys().map(|(name, _)| name.as_str()).collect();
        names.dedup();
        names
    }
}

fn read_labels(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").expect("a label");
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().expect("a closing quote") {
                (at, '"') => break at,
                (_, '\\') => match chars.next().expect("an escaped character").1 {
                    'n' => value.push('\n'),
                    c => value.push(c),
                },
                (_, c) => value.push(c),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "twice: {text}");
        let behind = &after[end + 1..];
        rest = behind.strip_prefix(',').unwrap_or(behind);
    }
    labels
}
