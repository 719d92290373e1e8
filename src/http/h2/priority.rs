//! The priority of a response, as the client wants it (RFC 9218 §4).

/// The urgency of a response without a signal.
const DEFAULT_URGENCY: u8 = 3;

/// A priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priority {
    /// From 0, the most urgent, to 7.
    pub urgency: u8,
    /// Whether parts of the response are useful, so that it shares the connection with others of its urgency.
    pub incremental: bool,
}

impl Default for Priority {
    fn default() -> Self {
        Priority { urgency: DEFAULT_URGENCY, incremental: false }
    }
}

impl Priority {
    /// Returns the priority with the parameters of a Priority field or a PRIORITY_UPDATE. Those that are unknown or out of range
    /// are ignored (RFC 9218 §4).
    pub fn parse(value: &[u8]) -> Self {
        let mut priority = Priority::default();
        for member in value.split(|&byte| byte == b',') {
            let member = member.split(|&byte| byte == b';').next().unwrap_or_default();
            match member.trim_ascii() {
                [b'u', b'=', digit @ b'0'..=b'7'] => priority.urgency = digit - b'0',
                b"i" | b"i=?1" => priority.incremental = true,
                b"i=?0" => priority.incremental = false,
                _ => {}
            }
        }
        priority
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        for (value, urgency, incremental) in [
            ("", 3, false),
            ("u=0", 0, false),
            ("u=7, i", 7, true),
            ("i,u=1", 1, true),
            ("i=?1", 3, true),
            ("i;x=1, u=5;y", 5, true),
            ("u=5, u=2, i, i=?0", 2, false),
            ("u=8, i=1", 3, false),
            ("u=-1", 3, false),
            ("u=1.5, x=\"u=0, i\"", 3, false),
            ("U=1, I", 3, false),
        ] {
            assert_eq!(Priority::parse(value.as_bytes()), Priority { urgency, incremental }, "{value}");
        }
    }
}
