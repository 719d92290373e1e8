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
    /// Returns the priority of a response with this media type for a client that has sent none: what a page needs first is sent
    /// first, and images share the connection.
    pub fn of_media_type(media_type: &str) -> Self {
        let essence = media_type.split(';').next().unwrap_or_default().trim_end();
        let (urgency, incremental) = match essence.split_once('/') {
            Some(("text", "html")) | Some(("application", "xhtml+xml")) => (1, false),
            Some(("text", "css")) | Some(("font", _)) => (2, false),
            Some(("image", _)) => (5, true),
            Some(("audio" | "video", _)) => (6, true),
            _ => (DEFAULT_URGENCY, false),
        };
        Priority { urgency, incremental }
    }

    /// Returns the priority with the parameters of a Priority field or a PRIORITY_UPDATE. Those that are unknown or out of range
    /// are ignored (RFC 9218 §4).
    pub fn parse(value: &[u8]) -> Self {
        Priority::default().with(value)
    }

    /// Returns the priority with further parameters: a field may have several lines.
    pub fn with(self, value: &[u8]) -> Self {
        let mut priority = self;
        // A comma within a string separates nothing (RFC 8941 §3.3.3).
        let (mut in_string, mut is_escaped) = (false, false);
        let is_comma = |&byte: &u8| {
            in_string ^= byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && in_string && !is_escaped;
            byte == b',' && !in_string
        };
        for member in value.split(is_comma) {
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
    fn media_types() {
        let urgency = |media_type| Priority::of_media_type(media_type).urgency;
        let types =
            ["text/html; charset=utf-8", "text/css", "font/woff2", "text/javascript", "image/png", "video/mp4", ""];
        assert_eq!(types.map(urgency), [1, 2, 2, 3, 5, 6, 3]);
        assert!(Priority::of_media_type("image/svg+xml").incremental);
    }

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
            ("x=\"a, i, u=0, \\\", u=1,\", u=4", 4, false),
            ("U=1, I", 3, false),
        ] {
            assert_eq!(Priority::parse(value.as_bytes()), Priority { urgency, incremental }, "{value}");
        }
    }
}
