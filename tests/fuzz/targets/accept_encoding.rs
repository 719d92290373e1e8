//! Accept-Encoding: no coding that the client excludes, none twice, in the order of the weights.
#![no_main]

use httparse::Header;
use libfuzzer_sys::fuzz_target;
use otus_httpd::http::{Coding, Fields, coding, quality};

/// The weight in thousandths of a member of a simple list, such as `br;q=0.5`; none if the member is not that simple.
fn simple(member: &str) -> Option<(String, u16)> {
    let (name, weight) = member.split_once(";q=").unwrap_or((member, "1"));
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'*');
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    let is_weight =
        matches!(whole, "0" | "1") && decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let weight = is_weight.then(|| format!("{whole}{decimals:0<3}").parse().ok())?.filter(|&weight| weight <= 1000)?;
    is_name.then(|| (name.to_ascii_lowercase(), weight))
}

/// The weight of a coding in a list of simple members, each named once; none if the list is not that simple.
fn said(value: &str, coding: Coding) -> Option<Option<u16>> {
    let members: Vec<_> = value.split(',').map(|member| simple(member.trim_matches(' '))).collect::<Option<_>>()?;
    let count = |name: &str| members.iter().filter(|member| member.0 == name).count();
    if count("*") > 1 || members.iter().any(|(name, _)| count(name) > 1) {
        return None;
    }
    let of = |name: &str| members.iter().find(|member| member.0 == name).map(|member| member.1);
    Some(of(coding.token()).or(of("*")))
}

// The lines of the field, separated by line feeds.
fuzz_target!(|input: &[u8]| {
    let lines: Vec<_> = input.split(|&byte| byte == b'\n').take(4).collect();
    let fields: Vec<_> = lines.iter().map(|value| Header { name: "Accept-Encoding", value }).collect();
    let order: Vec<_> = coding::acceptable(Fields(&fields)).order().collect();
    assert!(order.iter().enumerate().all(|(n, coding)| !order[..n].contains(coding)));

    for line in &lines {
        for choice in quality::choices(line) {
            assert!(choice.weight <= 1000 && !choice.name.is_empty() && choice.name == choice.name.trim_ascii());
            let excluded =
                Coding::BY_SIZE.into_iter().find(|coding| choice.name.eq_ignore_ascii_case(coding.token().as_bytes()));
            if let Some(coding) = excluded.filter(|_| choice.weight == 0 && !choice.has_parameters) {
                assert!(!order.contains(&coding), "{coding:?} all the same");
            }
        }
    }

    let [line] = lines[..] else { return };
    let weight = |coding| std::str::from_utf8(line).ok().and_then(|line| said(line, coding));
    let weights = Coding::BY_SIZE.map(weight);
    if line.is_empty() || line.windows(6).any(|six| six.eq_ignore_ascii_case(b"x-gzip")) || weights.contains(&None) {
        return;
    }
    // Identity is acceptable unless it is excluded; other codings only if they are named.
    let weight = |coding: Coding| {
        let said = weights[Coding::BY_SIZE.iter().position(|&other| other == coding).unwrap()].flatten();
        said.unwrap_or(u16::from(coding == Coding::Identity))
    };
    let mut expected: Vec<_> = Coding::BY_SIZE.into_iter().filter(|&coding| weight(coding) > 0).collect();
    expected.sort_by_key(|&coding| std::cmp::Reverse(weight(coding)));
    assert_eq!(order, expected);
});
