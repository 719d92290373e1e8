//! The media type of a file, by the extension of its name (RFC 9110 §8.3).

/// What is sent for a name that says nothing: a browser offers to save it.
const UNKNOWN: &str = "application/octet-stream";

/// The media type for `name`, without parameters: mime_guess's table, case-insensitive.
pub fn of(name: &[u8]) -> &'static str {
    extension(name).and_then(|extension| mime_guess::from_ext(extension).first_raw()).unwrap_or(UNKNOWN)
}

/// Whether `--charset` applies to `media_type`: it is text, and names no character encoding by itself.
pub fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
}

/// The extension as mime_guess reads it: what follows the last dot, unless that dot begins the name.
fn extension(name: &[u8]) -> Option<&str> {
    let name = name.rsplit(|&b| b == b'/').next()?;
    let dot = name.iter().rposition(|&b| b == b'.').filter(|&dot| dot > 0)?;
    std::str::from_utf8(&name[dot + 1..]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: &str) {
        assert_eq!(of(name.as_bytes()), expected, "{name}");
    }

    #[test]
    fn types_by_extension() {
        check("index.html", "text/html");
        check("a.css", "text/css");
        check("a.js", "text/javascript");
        check("a.jpg", "image/jpeg");
        check("a.jpeg", "image/jpeg");
        check("a.png", "image/png");
        check("a.gif", "image/gif");
        check("a.swf", "application/x-shockwave-flash");
        check("a.svg", "image/svg+xml");
        check("a.woff2", "font/woff2");
        check("a.wasm", "application/wasm");
        check("a.txt", "text/plain");
    }

    #[test]
    fn odd_names() {
        check("text..txt", "text/plain");
        check("PHOTO.JPG", "image/jpeg");
        check("dir.html/README", UNKNOWN);
        check("README", UNKNOWN);
        check(".html", UNKNOWN);
        check("a.", UNKNOWN);
        check("a.no-such-type", UNKNOWN);
        assert_eq!(of(b"a.\xff\xfe"), UNKNOWN);
    }
}
