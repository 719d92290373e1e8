//! DNS names, as far as certificates and requests have them (RFC 1035 §2.3.4, RFC 1123 §2.1).

/// The longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 253;

/// The longest label, in bytes.
const MAX_LABEL_BYTES: usize = 63;

/// Returns whether `name` has only characters of DNS names, and no empty label. An authority can have others, which a wildcard
/// would cover. Underscores are not allowed in names of hosts, but some have them.
pub fn is_name(name: &str) -> bool {
    has_labels(name, |label| label.bytes().all(|byte| is_letter_digit_hyphen(byte) || byte == b'_'))
}

/// Returns whether `name` is that of a host by the strict rule, to which public certification authorities hold.
pub fn is_host_name(name: &str) -> bool {
    let is_valid =
        |label: &str| label.bytes().all(is_letter_digit_hyphen) && !label.starts_with('-') && !label.ends_with('-');
    has_labels(name, is_valid)
}

fn has_labels(name: &str, is_valid: impl Fn(&str) -> bool) -> bool {
    let is_label = |label: &str| (1..=MAX_LABEL_BYTES).contains(&label.len()) && is_valid(label);
    name.len() <= MAX_NAME_BYTES && name.split('.').all(is_label)
}

fn is_letter_digit_hyphen(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_labels_of_letters_digits_and_hyphens() {
        let long = "a".repeat(MAX_LABEL_BYTES);
        let longest = [long.as_str(), &long, &long, &long[2..]].join(".");
        let (too_long, long_label) = (format!("{longest}a"), format!("{long}a"));
        for (name, is_known, is_host) in [
            ("example.org", true, true),
            ("xn--bcher-kva.example", true, true),
            ("1.a", true, true),
            ("localhost", true, true),
            (&long, true, true),
            (&longest, true, true),
            ("_dmarc.example.org", true, false),
            ("-a.org", true, false),
            ("a-.org", true, false),
            (&long_label, false, false),
            (&too_long, false, false),
            ("", false, false),
            (".example.org", false, false),
            ("a..org", false, false),
            ("example.org.", false, false),
            ("*.example.org", false, false),
            ("a;b.example.org", false, false),
            ("user@example.org", false, false),
            ("b\u{fc}cher.example", false, false),
            ("[::1]", false, false),
        ] {
            assert_eq!((is_name(name), is_host_name(name)), (is_known, is_host), "{name}");
        }
    }
}
