//! Lists of members with weights, as in Accept and Accept-Encoding (RFC 9110 §5.6.1, §12.4.2).

/// One member of such a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice<'v> {
    /// The text before the first `;`, without the white space around it.
    pub name: &'v [u8],
    /// The weight in thousandths, 0 to 1000; 1000 if the member has none.
    pub weight: u16,
    /// Whether there are parameters besides the weight: a media range may have them, a content coding may not.
    pub has_parameters: bool,
}

/// Returns the members of a field value, in order. A member without a name, or whose weight is malformed or given twice, is
/// unreliable and left out.
pub fn choices(value: &[u8]) -> impl Iterator<Item = Choice<'_>> {
    split(value, b',').filter_map(choice)
}

fn choice(member: &[u8]) -> Option<Choice<'_>> {
    if !member.contains(&b';') {
        let name = member.trim_ascii();
        return (!name.is_empty()).then_some(Choice { name, weight: 1000, has_parameters: false });
    }
    let mut parts = split(member, b';').map(<[u8]>::trim_ascii);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let mut weight = None;
    let mut has_parameters = false;
    // The weight may be at any place among the parameters (RFC 9110 §12.5.1).
    for part in parts.filter(|part| !part.is_empty()) {
        let equals = part.iter().position(|&byte| byte == b'=').unwrap_or(part.len());
        let (key, value) = part.split_at(equals);
        if !key.trim_ascii_end().eq_ignore_ascii_case(b"q") {
            has_parameters = true;
        } else if key.len() == 1 && weight.is_none() {
            weight = Some(thousandths(value.get(1..)?)?);
        } else {
            return None;
        }
    }
    Some(Choice { name, weight: weight.unwrap_or(1000), has_parameters })
}

/// Parses a qvalue: 0 to 1 with at most three decimals.
fn thousandths(value: &[u8]) -> Option<u16> {
    let (whole, decimals) = match value {
        [whole] => (whole, [].as_slice()),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    if !matches!(whole, b'0' | b'1') || !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |index: usize| decimals.get(index).map_or(0, |&digit| u16::from(digit - b'0'));
    let weight = u16::from(whole - b'0') * 1000 + digit(0) * 100 + digit(1) * 10 + digit(2);
    (weight <= 1000).then_some(weight)
}

/// Splits at `separator`, but not within a quoted string (RFC 9110 §5.6.4).
fn split(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    value.split(move |&byte| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match byte {
            b'\\' if is_quoted && !was_escaped => is_escaped = true,
            b'"' if !was_escaped => is_quoted = !is_quoted,
            _ => {}
        }
        byte == separator && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, expected: &[(&str, u16)]) {
        let found: Vec<_> = choices(value.as_bytes()).map(|c| (c.name, c.weight)).collect();
        let expected: Vec<_> = expected.iter().map(|&(name, weight)| (name.as_bytes(), weight)).collect();
        assert_eq!(found, expected, "{value}");
    }

    #[test]
    fn lists() {
        check("", &[]);
        check(", ,\t,", &[]);
        check("gzip", &[("gzip", 1000)]);
        check("gzip,br", &[("gzip", 1000), ("br", 1000)]);
        check(" gzip ; q=0.5 ,\tbr;q=0,, *;Q=1.0", &[("gzip", 500), ("br", 0), ("*", 1000)]);
    }

    #[test]
    fn weights() {
        let values = [("0", 0), ("0.", 0), ("0.000", 0), ("0.001", 1), ("0.05", 50), ("0.5", 500), ("0.999", 999)];
        for (value, weight) in values.into_iter().chain([("1", 1000), ("1.", 1000), ("1.0", 1000), ("1.000", 1000)]) {
            check(&format!("a;q={value}"), &[("a", weight)]);
        }
    }

    #[test]
    fn a_member_with_a_malformed_weight_is_left_out() {
        let wrong = ["", ".5", "1.001", "1.1", "2", "-0", "+1", "00", "01", "0.0000", "0,5", "0.5.", "1e0", "0.x", "٠"];
        for value in wrong.into_iter().chain(["\"1\"", " 1", "0 .5", "0.5 x", "0.5;q=0.5", "1\0"]) {
            let names: Vec<_> = choices(format!("a;q={value};x, b").as_bytes().trim_ascii())
                .filter(|choice| choice.name == b"a")
                .map(|choice| choice.weight)
                .collect();
            // A comma ends the member, so "0,5" is a member of weight 0 and another one.
            let expected: &[u16] = if value == "0,5" { &[0] } else { &[] };
            assert_eq!(names, expected, "{value}");
        }
    }

    #[test]
    fn parameters() {
        let one = |value: &'static str| choices(value.as_bytes()).next().unwrap();
        assert_eq!(one("text/html;level=1;q=0.3"), Choice { name: b"text/html", weight: 300, has_parameters: true });
        assert_eq!(one("text/html;q=0.3;level=1"), Choice { name: b"text/html", weight: 300, has_parameters: true });
        assert_eq!(one("gzip;"), Choice { name: b"gzip", weight: 1000, has_parameters: false });
        assert_eq!(one("gzip;quality=0").weight, 1000);
        check("a;q, b;q =0, c;q= 0, d;q=, e;q=0;Q=0, f;;", &[("f", 1000)]);
    }

    #[test]
    fn quoted_strings_hide_separators() {
        check(r#"a;x="b,c;q=0.1";q=0.2, d"#, &[("a", 200), ("d", 1000)]);
        check(r#"a;x="\",b", c"#, &[("a", 1000), ("c", 1000)]);
        check(r#"a;x="\\", b"#, &[("a", 1000), ("b", 1000)]);
        check(r#"a;x=", b"#, &[("a", 1000)]);
        check(r"a\,b", &[("a\\", 1000), ("b", 1000)]);
    }
}
