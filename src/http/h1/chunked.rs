//! The chunked transfer coding (RFC 9112 §7.1), only as far as needed to find its end: the content is never used.

use crate::http::{Refusal, syntax};

/// Returns the end of a chunked body that begins with `bytes`, after its trailers and their empty line; `None` if more
/// bytes are needed.
///
/// Stricter than the RFC where leniency helps request smuggling only: sizes have at most eight digits, and lines end
/// with CR LF.
pub fn end(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    let mut at = 0;
    loop {
        let Some(line) = syntax::line(&bytes[at..])? else { return Ok(None) };
        at += line.len() + 2;
        let size = size(line)?;
        if size == 0 {
            return trailers(bytes, at);
        }
        at += size;
        match bytes.get(at..at + 2) {
            Some(b"\r\n") => at += 2,
            Some(_) => return Err(Refusal::Malformed("a chunk does not end where it should")),
            // Of two bytes that are missing, one may have arrived.
            None if bytes.get(at).is_some_and(|&b| b != b'\r') => {
                return Err(Refusal::Malformed("a chunk does not end where it should"));
            }
            None => return Ok(None),
        }
    }
}

fn size(line: &[u8]) -> Result<usize, Refusal> {
    const BAD: Refusal = Refusal::Malformed("a chunk's size is not a hexadecimal number");
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let text = std::str::from_utf8(&line[..digits]).map_err(|_| BAD)?;
    if digits > 8 {
        return Err(BAD);
    }
    check_extensions(&line[digits..])?;
    usize::from_str_radix(text, 16).map_err(|_| BAD)
}

/// Checks that extensions are well-formed, and ignores them (RFC 9112 §7.1.1): `*( BWS ";" BWS name [ BWS "=" BWS value
/// ] )`.
fn check_extensions(mut rest: &[u8]) -> Result<(), Refusal> {
    const BAD: Refusal = Refusal::Malformed("what follows a chunk's size is no extension");
    while !rest.is_empty() {
        let [b';', extension @ ..] = syntax::skip_blanks(rest) else { return Err(BAD) };
        rest = syntax::parameter(extension).ok_or(BAD)?.1;
    }
    Ok(())
}

fn trailers(bytes: &[u8], mut at: usize) -> Result<Option<usize>, Refusal> {
    loop {
        let Some(line) = syntax::line(&bytes[at..])? else { return Ok(None) };
        at += line.len() + 2;
        if line.is_empty() {
            return Ok(Some(at));
        }
        let name = line.split(|&b| b == b':').next().unwrap_or_default();
        if name.len() == line.len() || name.is_empty() || !name.iter().all(|&b| syntax::is_token_byte(b)) {
            return Err(Refusal::Malformed("a trailer is no field"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, rest: usize) {
        assert_eq!(end(body.as_bytes()), Ok(Some(body.len() - rest)), "{body:?}");
        for length in 0..body.len() - rest {
            assert_eq!(end(&body.as_bytes()[..length]), Ok(None), "{length} bytes of {body:?}");
        }
    }

    #[test]
    fn bodies_and_what_follows_them() {
        check("0\r\n\r\n", 0);
        check("5\r\nhello\r\n0\r\n\r\n", 0);
        check("5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1", 14);
        check("a;name=value\r\n0123456789\r\n00\r\n\r\n", 0);
        for extensions in [
            ";a",
            ";a=b",
            ";a;b=c;d",
            " ; a = b\t;\tc",
            ";a=\"\"",
            ";a=\"b\\\"c;\u{444}\t\" ;d",
            ";!#$%&'*+-.^_`|~09aZ=~",
        ] {
            check(&format!("5{extensions}\r\nhello\r\n0{extensions}\r\n\r\n"), 0);
        }
        check("1\r\n\r\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\n", 0);
        check("9\r\n\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n", 0);
    }

    #[test]
    fn malformed() {
        for body in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x5\r\nhello\r\n",
            " 5\r\nhello\r\n",
            "5 \r\nhello\r\n",
            "5\nhello\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhelloworld",
            "5\r\nhello\n0\r\n\r\n",
            "123456789\r\n",
            "ffffffffffffffff1\r\n",
            "0\r\nno field\r\n\r\n",
            "0\r\n: x\r\n\r\n",
            "0\r\n folded\r\n\r\n",
            "5;\r\nhello\r\n",
            "5; \r\n",
            "5;bad[=x\r\n",
            "5;a;\r\n",
            "5;;a\r\n",
            "5;a \r\n",
            "5;a=\r\n",
            "5;=b\r\n",
            "5;a=b c\r\n",
            "5;a b\r\n",
            "5;a=b=c\r\n",
            "5;a=\"b\r\n",
            "5;a=\"b\\\"\r\n",
            "5;a=\"b\"c\r\n",
            "5;\"a\"\r\n",
            "5;a,b\r\n",
            "5,a\r\n",
            "5 a\r\n",
            "5;\u{444}\r\n",
            "0;\r\n",
            ";a\r\n",
            "5;a\rb\r\nhello\r\n",
            "5;\0\r\n",
            "0\r\nA: b\n\r\n",
        ] {
            assert!(matches!(end(body.as_bytes()), Err(Refusal::Malformed(_))), "{body:?}: {:?}", end(body.as_bytes()));
        }
    }
}
