//! User name and password in a request (RFC 7617).

use std::fmt;

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use crate::http::Fields;

/// The longest user name, in bytes.
pub const MAX_USER_BYTES: usize = 255;

/// The longest password, in bytes.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// A user name and a password, which are not verified.
pub struct Credentials {
    /// The bytes before the first colon, and those after it.
    bytes: Zeroizing<Vec<u8>>,
    colon: usize,
}

impl Credentials {
    /// Returns the credentials of a request; none if it has none of the scheme `Basic`, malformed ones, or several.
    pub fn of(fields: Fields) -> Option<Self> {
        Credentials::parse(fields.only("Authorization")?)
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let (scheme, token) = str::from_utf8(value).ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("Basic") {
            return None;
        }
        let bytes = Zeroizing::new(Base64::decode_vec(token.trim_matches(' ')).ok()?);
        let colon = bytes.iter().position(|&byte| byte == b':')?;
        let credentials = Credentials { bytes, colon };
        let is_valid = (1..=MAX_USER_BYTES).contains(&credentials.user().len())
            && credentials.password().len() <= MAX_PASSWORD_BYTES
            && !credentials.bytes.iter().any(u8::is_ascii_control);
        is_valid.then_some(credentials)
    }

    /// Returns the user name.
    pub fn user(&self) -> &[u8] {
        &self.bytes[..self.colon]
    }

    /// Returns the password.
    pub fn password(&self) -> &[u8] {
        &self.bytes[self.colon + 1..]
    }
}

/// Without what is secret: people type passwords into the wrong field.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Option<(String, String)> {
        let credentials = Credentials::parse(value.as_bytes())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some((text(credentials.user()), text(credentials.password())))
    }

    fn encode(text: &[u8]) -> String {
        format!("Basic {}", Base64::encode_string(text))
    }

    #[test]
    fn a_user_name_ends_with_the_first_colon() {
        let pair = |user: &str, password: &str| Some((user.to_string(), password.to_string()));
        assert_eq!(parse("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"));
        assert_eq!(parse("bAsIc   dGVzdDoxMjPCow=="), pair("test", "123\u{a3}"));
        assert_eq!(parse(&encode(b"a:b:c")), pair("a", "b:c"));
        assert_eq!(parse(&encode(b"a:")), pair("a", ""));
        let longest = ["a".repeat(MAX_USER_BYTES), "b".repeat(MAX_PASSWORD_BYTES)];
        assert_eq!(parse(&encode(longest.join(":").as_bytes())), pair(&longest[0], &longest[1]));
    }

    #[test]
    fn anything_else_is_none() {
        for wrong in ["", "Basic", "Basic ", "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Basic QWxhZGRpbg==", "Basic ????"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        let long_user = format!("{}:b", "a".repeat(MAX_USER_BYTES + 1));
        let long_password = format!("a:{}", "b".repeat(MAX_PASSWORD_BYTES + 1));
        for wrong in [":", ":b", "a", "a\n:b", "a:b\0", "a:b\x7f", &long_user, &long_password] {
            assert_eq!(parse(&encode(wrong.as_bytes())), None, "{wrong:?}");
        }
    }
}
