//! Cache-Control of a response that is for one client: no shared cache may store it (RFC 9111 §3.5, §5.2.2.7).

/// The directives that let a shared cache store a response or use it for other clients, with or without Authorization
/// (RFC 9111 §3.5), and those that mean nothing to other caches. Each response has its own `private`.
const DROPPED: [&str; 4] = ["public", "private", "s-maxage", "proxy-revalidate"];

/// Returns the value of Cache-Control that says the same as `value` to the cache of the client, and `private` to all others.
pub fn cache_control(value: &str) -> String {
    let kept = directives(value).filter(|directive| {
        let name = directive.split('=').next().unwrap_or_default().trim();
        !name.is_empty() && !DROPPED.iter().any(|dropped| name.eq_ignore_ascii_case(dropped))
    });
    std::iter::once("private").chain(kept).collect::<Vec<_>>().join(", ")
}

/// Returns whether a field is for shared caches alone, which obey it instead of Cache-Control (RFC 9213 §2.2): CDN-Cache-Control
/// and those of single vendors, Surrogate-Control, and that of nginx.
pub fn is_for_shared_caches(name: &str) -> bool {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    let end = name.len().checked_sub("-Cache-Control".len()).and_then(|begin| name.get(begin..));
    end.is_some_and(|end| end.eq_ignore_ascii_case("-Cache-Control"))
        || is("Surrogate-Control")
        || is("X-Accel-Expires")
}

/// Returns the directives of a value. A quoted string may contain commas.
fn directives(value: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    value
        .split(move |c| {
            is_quoted ^= c == '"';
            c == ',' && !is_quoted
        })
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_wins_and_the_rest_stays() {
        for (value, expected) in [
            ("", "private"),
            ("no-cache", "private, no-cache"),
            ("no-store", "private, no-store"),
            ("public, max-age=31536000, immutable", "private, max-age=31536000, immutable"),
            ("Public,max-age=0 , must-revalidate", "private, max-age=0, must-revalidate"),
            ("S-MaxAge=60,, proxy-revalidate", "private"),
            ("private=\"set-cookie, x\", max-age=1", "private, max-age=1"),
            ("no-cache=\"a, public\", public", "private, no-cache=\"a, public\""),
        ] {
            assert_eq!(cache_control(value), expected, "{value}");
        }
    }

    #[test]
    fn some_fields_are_for_shared_caches_alone() {
        for name in ["CDN-Cache-Control", "cloudflare-cdn-cache-control", "Surrogate-Control", "X-ACCEL-EXPIRES"] {
            assert!(is_for_shared_caches(name), "{name}");
        }
        for name in ["Cache-Control", "Expires", "Control", "CDN-Cache-Controls", "\u{fc}-Cache-Contro"] {
            assert!(!is_for_shared_caches(name), "{name}");
        }
    }
}
