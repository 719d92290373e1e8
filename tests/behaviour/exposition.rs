//! A strict parser of the Prometheus text format 0.0.4, as far as this server uses it.

use std::collections::{BTreeMap, BTreeSet};

/// The samples of a page, by name with labels as in the page.
#[derive(Debug)]
pub struct Samples(BTreeMap<String, f64>);

impl Samples {
    pub fn get(&self, name: &str) -> f64 {
        *self.0.get(name).unwrap_or_else(|| panic!("no {name} in {:#?}", self.0))
    }

    /// The sum over all labels.
    pub fn sum(&self, family: &str) -> f64 {
        let labelled = format!("{family}{{");
        self.0.iter().filter(|(name, _)| name.starts_with(&labelled)).map(|(_, value)| value).sum()
    }
}

/// Parses a page. Panics on any violation of the format or its conventions.
pub fn parse(page: &str) -> Samples {
    assert!(page.ends_with('\n'), "the last line ends too");
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let (mut family, mut kind, mut helped) = ("", "", "");
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').expect(line);
            assert!(!text.is_empty() && !text.contains('\\'), "{line}");
            assert!(families.insert(name), "{name} occurs twice");
            helped = name;
        } else if let Some(declared) = line.strip_prefix("# TYPE ") {
            (family, kind) = declared.split_once(' ').expect(line);
            assert_eq!(family, helped, "HELP stands before TYPE");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", family.ends_with("_total"), "{line}");
        } else {
            let (name, value) = line.rsplit_once(' ').expect(line);
            let bare = name.split('{').next().unwrap();
            let suffix = bare.strip_prefix(family).unwrap_or_else(|| panic!("{line} is not of {family}"));
            let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.contains(&suffix), "{line}");
            check_name(bare);
            check_labels(&name[bare.len()..]);
            let value: f64 = value.parse().expect(line);
            assert!(value >= 0.0 && value.is_finite(), "{line}");
            assert!(samples.insert(name.to_string(), value).is_none(), "{name} occurs twice");
        }
    }
    check_histogram(page, &samples);
    Samples(samples)
}

fn check_name(name: &str) {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    assert!(name.bytes().all(is_allowed), "{name}");
}

/// `{name="value",...}`, or nothing. The values need no escapes.
fn check_labels(labels: &str) {
    if labels.is_empty() {
        return;
    }
    let inner = labels.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).expect(labels);
    for label in inner.split(',') {
        let (name, value) = label.split_once('=').expect(labels);
        check_name(name);
        let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).expect(labels);
        assert!(!value.is_empty() && !value.contains(['"', '\\', '\n']), "{labels}");
    }
}

/// Checks that bounds increase, counts do not decrease, and the last bound is infinity with the total count.
fn check_histogram(page: &str, samples: &BTreeMap<String, f64>) {
    let family = "otus_http_request_duration_seconds";
    let buckets = page.lines().filter_map(|line| line.strip_prefix(&format!("{family}_bucket{{le=\"")));
    let buckets: Vec<(f64, f64)> = buckets
        .map(|line| line.split_once("\"} ").expect(line))
        .map(|(bound, count)| (bound.parse().unwrap(), count.parse().unwrap()))
        .collect();
    assert!(buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1), "{buckets:?}");
    assert_eq!(buckets.last(), Some(&(f64::INFINITY, samples[&format!("{family}_count")])));
    assert_eq!((buckets[0].0, buckets[buckets.len() - 2].0), (0.0001, 10.0));
}
